"""Measurements of the running system: `vp bench`."""
