"""From a picture to a variant's probabilities, without torch."""
