"""Learning: networks, data, joint training, export and evaluation. The only part of the package that imports torch."""
