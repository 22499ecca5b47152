"""Whether something moves before a camera. Pure: the clock is passed in."""
