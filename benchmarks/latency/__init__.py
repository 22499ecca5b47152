"""Latency: the models alone, and from the camera's capture to the label, beside a lower bound."""
