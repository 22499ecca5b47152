"""Finds pictures in a stream of bytes by their own markers, whatever stands between them.

Devices disagree on how the parts of a motion JPEG stream are separated, typed and measured, but not on how a JPEG
(ITU-T T.81, annex B) or a PNG (W3C PNG, section 5) begins, continues and ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_PICTURE_BYTES = 32_000_000
"""Larger pictures are given up."""

_START = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n")
_LONGEST_START = 8
# Of entropy-coded data: a marker other than the restart markers, which are part of it.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_FIRST_WITH_LENGTH = 0xC0
_CHUNK_OVERHEAD = 12  # length, type and checksum


class _BrokenError(Exception):
    """What began as a picture is none."""


class PictureScanner:
    """Takes bytes as they arrive, in pieces of any size, and returns the whole JPEGs and PNGs in them.

    Memory is bounded by the largest picture, time is linear in the number of bytes.

    Attributes:
        broken: pictures that began and did not end, or are too large.
    """

    def __init__(self, max_bytes: int = MAX_PICTURE_BYTES) -> None:
        """Expect a picture.

        Args:
            max_bytes: larger pictures are given up.
        """
        self.broken = 0
        self._max_bytes = max_bytes
        self._data = bytearray()
        self._at = 0
        # If the picture turns out to be broken, the next one may begin here, inside of what seemed to be its last part.
        self._resume = 0
        # Moves on through the picture that has begun; returns False if that takes more data.
        self._step: Callable[[], bool] | None = None
        self._has_ended = False

    @property
    def is_inside(self) -> bool:
        """Whether a picture has begun and not ended yet."""
        return self._step is not None

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream, and return the pictures that are whole now, oldest first."""
        self._data += data
        found = []
        while self._begin():
            try:
                is_whole = self._go_on()
            except _BrokenError:
                self.broken += 1
                self._drop(max(self._resume, 2))
                continue
            if not is_whole:
                break
            found.append(bytes(self._data[: self._at]))
            self._drop(self._at)
        return found

    def _begin(self) -> bool:
        """Go to where a picture begins; return False if there is none."""
        if self._step is not None:
            return True
        start = _START.search(self._data)
        if start is None:
            # The last bytes may be the first of a picture's beginning.
            del self._data[: -(_LONGEST_START - 1)]
            return False
        del self._data[: start.start()]
        is_jpeg = self._data[0] == 0xFF  # noqa: PLR2004 (a marker)
        self._at = 2 if is_jpeg else _LONGEST_START
        self._step = self._jpeg_head if is_jpeg else self._png_chunk
        self._has_ended = False
        return True

    def _drop(self, size: int) -> None:
        del self._data[:size]
        self._at = self._resume = 0
        self._step = None

    def _go_on(self) -> bool:
        """Move through the picture; return whether it is whole."""
        while self._step is not None and self._step():
            if self._has_ended:
                return True
        if max(self._at, len(self._data)) > self._max_bytes:
            raise _BrokenError
        return False

    def _jpeg_head(self) -> bool:
        """Move over a segment of a JPEG's head."""
        data, at = self._data, self._at
        if len(data) < at + 4:
            return False
        if data[at] != 0xFF:  # noqa: PLR2004 (a marker begins)
            raise _BrokenError
        marker = data[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 (a fill byte)
            self._at += 1
            return True
        self._skip_segment(marker)
        if marker == _START_OF_SCAN:
            self._step = self._jpeg_scan
        return True

    def _skip_segment(self, marker: int) -> None:
        self._resume = self._at
        length = int.from_bytes(self._data[self._at + 2 : self._at + 4], "big")
        if marker < _FIRST_WITH_LENGTH or marker in {_START_OF_IMAGE, _END_OF_IMAGE} or length < 2:  # noqa: PLR2004
            raise _BrokenError
        self._resume = self._at + 2
        self._at += 2 + length

    def _jpeg_scan(self) -> bool:
        """Move over entropy-coded data to the next marker, and over its segment."""
        found = _MARKER.search(self._data, self._at)
        if found is None:
            self._at = self._resume = max(self._at, len(self._data) - 1)
            return False
        self._at = self._resume = found.start()
        marker = self._data[self._at + 1]
        if marker == _END_OF_IMAGE:
            self._at += 2
            self._has_ended = True
            return True
        if marker == _START_OF_IMAGE:
            # The picture was cut off, and the next one begins.
            raise _BrokenError
        if len(self._data) < self._at + 4:
            return False
        self._skip_segment(marker)
        return True

    def _png_chunk(self) -> bool:
        """Move over a chunk of a PNG."""
        if len(self._data) < self._at + 8:
            return False
        length = int.from_bytes(self._data[self._at : self._at + 4], "big")
        kind = bytes(self._data[self._at + 4 : self._at + 8])
        if not (kind.isalpha() and kind.isascii()) or length > self._max_bytes:
            raise _BrokenError
        self._resume = self._at + 1
        if kind != b"IEND":
            self._at += _CHUNK_OVERHEAD + length
            return True
        if len(self._data) < self._at + _CHUNK_OVERHEAD + length:
            return False
        self._at += _CHUNK_OVERHEAD + length
        self._has_ended = True
        return True
