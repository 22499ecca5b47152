"""From a picture to a variant's probabilities, on a device: no torch."""
