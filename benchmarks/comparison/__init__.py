"""Variant parallelism against the single network, model and class parallelism."""
