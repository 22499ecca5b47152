"""Valid names of bundles, and of the families in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

LONGEST_BUNDLE_NAME = 64

BundleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=LONGEST_BUNDLE_NAME)]
"""A bundle's name: 1 to 64 small letters, digits and hyphens, no hyphen first. The same in every place."""
