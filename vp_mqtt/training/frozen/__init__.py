"""Families from frozen backbones: features of every picture once, then classifiers in seconds. Needs no torch."""
