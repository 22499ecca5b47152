"""States: how many changes a camera's state shows, and how late, by setting."""
