"""What the page costs under load, and whether its memory stays flat."""
