"""A complete site on this machine for measurements, and a recorder of what it publishes."""
