"""The variants that have voted on a frame, in time or not. Pure."""

from __future__ import annotations


class Voters:
    """The variants of each family that have voted on one frame; a second vote of one does not count."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        """Start without any."""
        # A bit for each variant, by the family's digest: thousands of frames are remembered.
        self._of: dict[bytes, int] = {}

    def add(self, family: bytes, variant: int) -> bool:
        """Note a vote of a variant of the family with this digest; return whether it is its first on the frame."""
        voted, bit = self._of.get(family, 0), 1 << variant
        self._of[family] = voted | bit
        return not voted & bit
