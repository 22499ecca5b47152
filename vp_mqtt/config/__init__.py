"""Settings, and where their values come from."""
