"""Evaluation of a bundle by its exported models: needs no torch."""
