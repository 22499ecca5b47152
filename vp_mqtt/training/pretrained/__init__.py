"""Weights to start a training from."""
