"""Changes of states, with a picture of each, kept on this machine."""
