"""Classes of one's own: `vp train` against the usual recipe of a frozen network with a small head."""
