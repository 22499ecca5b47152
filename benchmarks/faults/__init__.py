"""Robustness: a site under one fault after the other, and under random faults for a long time."""
