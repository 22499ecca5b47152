"""Emulated hardware: network links, CPU quotas, core affinity, a network camera."""
