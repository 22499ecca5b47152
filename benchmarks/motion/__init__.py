"""What the motion gate of a camera saves, and what it notices."""
