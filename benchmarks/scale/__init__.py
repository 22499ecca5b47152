"""`vp bench scale`: how many cameras and variants one fusion node carries."""
