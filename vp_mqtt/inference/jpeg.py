"""What a JPEG says about itself, read from its head without decoding it (ITU-T T.81)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

_START_OF_IMAGE, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_APP1, _EXIF = 0xE1, b"Exif\0"
_SEGMENT_BYTES = 9  # from the marker of a frame header to its width


@dataclass(frozen=True, slots=True)
class JpegHead:
    """The head of a JPEG.

    Attributes:
        size: width and height that the JPEG claims, in pixels, as stored.
        is_common: baseline or progressive, with 8 bits per sample: what every viewer shows.
        has_exif: it has EXIF data, which may contain where the picture was taken, and may ask viewers to rotate it.
    """

    size: tuple[int, int]
    is_common: bool
    has_exif: bool


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG that has its head and its end; what is between has not been looked at.

    Attributes:
        data: the JPEG.
        head: what it says about itself.
    """

    data: bytes
    head: JpegHead

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Return data as a JPEG; None if it is not one, is truncated, or continues after the JPEG's end."""
        if not data.endswith(_END_OF_IMAGE):
            return None
        head = read_head(data)
        return None if head is None else cls(data, head)


def begins_as_jpeg(data: bytes | bytearray | memoryview) -> bool:
    """Return whether data begins with a JPEG's first marker."""
    return bytes(data[:2]) == _START_OF_IMAGE


def read_head(data: bytes | bytearray | memoryview) -> JpegHead | None:
    """Return the head of a JPEG; None if the data is not a JPEG, or ends before its frame header."""
    if not begins_as_jpeg(data):
        return None
    at = len(_START_OF_IMAGE)
    has_exif = False
    while at + _SEGMENT_BYTES <= len(data) and data[at] == 0xFF:  # noqa: PLR2004 (a marker begins)
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            height, width = (int.from_bytes(data[n : n + 2], "big") for n in (at + 5, at + 7))
            is_common = marker in {_BASELINE, _PROGRESSIVE} and data[at + 4] == 8  # noqa: PLR2004 (bits)
            return JpegHead((width, height), is_common, has_exif)
        has_exif |= marker == _APP1 and bytes(data[at + 4 : at + 9]) == _EXIF
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None
