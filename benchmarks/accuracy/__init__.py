"""Accuracy: training plans, ablation, linear classifiers, fusion rules."""
