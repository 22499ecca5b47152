"""What frames of different sizes cost a whole site, and what they do to its labels."""
