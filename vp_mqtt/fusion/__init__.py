"""From the votes of the variants to one label per frame. Pure: no I/O, the clock is passed in."""
