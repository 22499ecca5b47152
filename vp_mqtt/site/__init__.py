"""`vp site`: from one file that names a site to folders that are ready to copy to its boards and its broker."""
