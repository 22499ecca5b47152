"""What is unknown: pictures of nothing that a family knows, and classes left out of a training."""
