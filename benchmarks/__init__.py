"""Measurements: what a family costs, and how the running system fares."""
