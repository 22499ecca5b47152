"""The nodes: camera, variant, fusion. Each is a process with one connection to the broker."""
