"""Measurements: what a family costs, and how the running system performs. `python -m benchmarks`, or `vp bench`."""
