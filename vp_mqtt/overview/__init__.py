"""What a site does, seen by one who listens to it: `vp watch` and `vp web` show it. Pure: no I/O, no clock."""
