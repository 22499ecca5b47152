"""Names of built-in bundles that more than one part of the package means by default."""

from __future__ import annotations

DEFAULT_BUNDLE = "caltech101"
"""What the nodes of a site run until they are told otherwise: a family for pictures of an ordinary camera."""
DEMO_BUNDLE = "fashion-mnist"
"""What `vp demo` runs, and what the sample pictures are for."""
