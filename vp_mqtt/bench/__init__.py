"""Measurements: what a family costs, and how it fares on this machine."""
