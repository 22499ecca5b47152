"""`vp bench cells`: a head office and two cells over links that are slow, lossy and cut."""
