"""A broker and nodes as processes on this machine."""
