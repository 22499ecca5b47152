"""Frames: their ids, how cameras announce them, and why their windows closed."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

_LAYOUT = struct.Struct(">II")
_TEXT = re.compile(r"([0-9a-f]{8})-(0|[1-9][0-9]{0,9})")
_LIMIT = 2**32

FRAME_ID_BYTES = _LAYOUT.size


class FrameId(NamedTuple):
    """Identifies a frame of a camera, also across restarts of the camera.

    Attributes:
        run: 0..2^32-1, drawn at random when the camera node starts.
        sequence: 0..2^32-1, one more for every frame.
    """

    run: int
    sequence: int

    def encode(self) -> bytes:
        """Return the 8 bytes that travel as MQTT correlation data: run, then sequence, big-endian."""
        return _LAYOUT.pack(self.run, self.sequence)

    @classmethod
    def decode(cls, data: bytes | None) -> Self:
        """Return the frame id in MQTT correlation data.

        Raises:
            ValueError: there is none, or it is not 8 bytes long.
        """
        if data is None or len(data) != FRAME_ID_BYTES:
            raise ValueError("no frame id")
        return cls(*_LAYOUT.unpack(data))

    def __str__(self) -> str:
        return f"{self.run:08x}-{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text form of a frame id, such as "1f8c02d4-17".

        Raises:
            ValueError: the text is not a frame id.
        """
        match = _TEXT.fullmatch(text)
        if match is None or int(match[2]) >= _LIMIT:
            raise ValueError("not a frame id")
        return cls(int(match[1], 16), int(match[2]))


@dataclass(frozen=True, slots=True)
class Announce:
    """A camera's announcement that it has published a frame.

    Attributes:
        frame: the frame's id.
        captured: when it was captured, on the camera's wall clock, in seconds since 1970; for information only.
        truth: the true class name, where the camera knows it (a folder of CLASS/IMAGE).
        next_within_s: within how many seconds another frame follows, where the camera says so.
    """

    frame: FrameId
    captured: float
    truth: str | None = None
    next_within_s: float | None = None


class ClosedBy(StrEnum):
    """Why a window closed."""

    COMPLETE = "complete"
    """Every variant that was awaited has voted."""
    DECIDED = "decided"
    """No outstanding vote could have changed the winner."""
    DEADLINE = "deadline"
    """The deadline passed."""
    SKIPPED = "skipped"
    """No vote: every variant that was awaited has moved on to a newer frame."""
