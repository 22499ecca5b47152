"""What a live source reads its pictures from: one connection, which may break and be opened again."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vp_mqtt.nodes.sources.base import Captured

SILENCE_S = 15.0
"""How long a stream may send nothing before it counts as broken: some cameras need 8 s for their first picture."""


class FeedError(Exception):
    """No pictures come; the text is the reason, in a few words and the same for every attempt that fails alike."""


class Feed(ABC):
    """A connection to a webcam or a stream. It is opened and read in one thread."""

    @abstractmethod
    def open(self) -> None:
        """Connect.

        Raises:
            FeedError: that is not possible, for now at least.
        """

    @abstractmethod
    def read(self) -> Captured | None:
        """Wait for what comes next, but not for ever, and return the picture in it; None if there is none.

        Raises:
            FeedError: it broke off, or sends no pictures.
        """

    @abstractmethod
    def close(self) -> None:
        """Disconnect; may be called more than once."""
