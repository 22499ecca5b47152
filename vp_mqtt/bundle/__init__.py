"""Bundles over the air: published by `vp push`, fetched by the boards (docs/push.md)."""
