"""What a JPEG says about itself, read from its markers without decoding it (ITU-T T.81)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple, Self

Data = bytes | bytearray | memoryview

_LARGEST_UNIT = 32  # pixels: side of the largest unit that a scan may consist of
_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_ALONE = frozenset({0xD8, _END_OF_IMAGE})  # markers without a segment, at which the search ends
_NEEDED = _START_OF_FRAME | {0xC4, 0xDB, 0xDD, _START_OF_SCAN}  # with Huffman and quantisation tables, restart interval
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_SIZE_BYTES = 9  # from the marker of a frame header to the end of its width

# libjpeg, too, takes the next 0xFF before a byte that makes it a marker, whatever is in between. Stuffed zeros, fill
# bytes, restart markers and TEM do not end a segment or a scan. Nor do the reserved markers 0x02 to 0xBF: where libjpeg
# looks for a restart marker it skips their two bytes (elsewhere it gives up), and reads what follows.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")

# The largest data of the JFIF and Adobe segments that decoders use; more is a thumbnail, or something hidden.
_JFIF, _JFIF_BYTES = b"JFIF\0", 12
_NO_THUMBNAIL = b"\0\0"
_ADOBE, _ADOBE_BYTES = b"Adobe", 12

_EXIF = b"Exif\0"
_EXIF_BYTES = 6  # before its TIFF header
_ORIENTATION, _UPRIGHT = 0x0112, 1
_ENTRY_BYTES = 12
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}

MAX_SEGMENTS = 2048
"""Segments that are looked at. A photograph has some tens; a colour profile may fill 255."""


class _Segment(NamedTuple):
    """A marker and its segment: from data[start], the marker's 0xFF, to data[end - 1]; without the data of a scan."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class JpegHead:
    """The head of a JPEG.

    Attributes:
        size: width and height that the JPEG claims, in pixels, as stored.
        is_common: baseline or progressive, with 8 bits per sample: what every viewer shows.
        is_decodable: Huffman-coded with 8 bits per sample: what is decoded here.
        is_turned: its EXIF data asks viewers to rotate or mirror it, or cannot be read.
        components: of each, such as brightness and two of colour: its id, and its sampling factors h and v.
    """

    size: tuple[int, int]
    is_common: bool
    is_decodable: bool
    is_turned: bool
    components: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG that has its head, a scan and its end; what is between has not been looked at.

    Attributes:
        data: the JPEG as it was found, with its metadata and whatever follows it.
        head: what it says about itself.
        bare: the JPEG alone, and of it only what is needed to decode it: no EXIF, XMP, IPTC, comments, colour profile,
            thumbnails or further pictures (MPO). Metadata can tell where a picture was taken, and by whom.
        scans: how many it has.
    """

    data: bytes
    head: JpegHead
    bare: bytes
    scans: int

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Return data as a JPEG; None if it is not one, or is truncated."""
        head = read_head(data)
        if head is None:
            return None
        parts: list[bytes] = [_START_OF_IMAGE]
        scan: int | None = None  # where the scan begins whose data has no end yet
        scans = 0
        for segment in islice(_segments(data), MAX_SEGMENTS):
            if scan is not None:
                parts.append(data[scan : segment.start])
                scan = None
            if segment.marker == _END_OF_IMAGE:
                parts.append(data[segment.start : segment.end])
                return cls(data, head, b"".join(parts), scans) if scans else None
            if segment.marker == _START_OF_SCAN:
                scan = segment.start
                scans += 1
            else:
                parts.append(_without_metadata(data, segment))
        return None


def begins_as_jpeg(data: Data) -> bool:
    """Return whether data begins with a JPEG's first marker."""
    return bytes(data[:2]) == _START_OF_IMAGE


def read_head(data: Data) -> JpegHead | None:
    """Return the head of a JPEG; None if the data is not a JPEG, or ends before its frame header."""
    if not begins_as_jpeg(data):
        return None
    is_turned = False
    for marker, start, end in islice(_segments(data), MAX_SEGMENTS):
        if marker in _START_OF_FRAME:
            if end < start + _SIZE_BYTES:
                return None
            height, width = (int.from_bytes(data[n : n + 2], "big") for n in (start + 5, start + 7))
            has_8_bits = data[start + 4] == 8  # noqa: PLR2004 (per sample)
            each = (bytes(data[at : at + 2]) for at in range(start + _SIZE_BYTES + 1, end - 2, 3))
            return JpegHead(
                size=(width, height),
                is_common=has_8_bits and marker in {_BASELINE, _PROGRESSIVE},
                is_decodable=has_8_bits and marker in {_BASELINE, _EXTENDED, _PROGRESSIVE},
                is_turned=is_turned,
                components=tuple((one[0], one[1] >> 4, one[1] & 15) for one in each),
            )
        if marker == _APP1 and bytes(data[start + 4 : start + 9]) == _EXIF:
            is_turned |= _asks_to_turn(bytes(data[start + 4 + _EXIF_BYTES : end]))
    return None


def count_scans(data: Data) -> int:
    """Return how many scans a decoder would find in a JPEG, in time that grows linearly with its length.

    A decoder goes through all pixels for each scan, even for one of a few bytes that says "no change". A JPEG of more
    than MAX_SEGMENTS segments is not counted to its end: all of them count.
    """
    markers = [segment.marker for segment in islice(_segments(data), MAX_SEGMENTS)]
    return markers.count(_START_OF_SCAN) if len(markers) < MAX_SEGMENTS else MAX_SEGMENTS


def samples_of_scans(data: Data, head: JpegHead) -> list[int]:
    """Return how many samples each scan of a JPEG goes through, in linear time: those of the components that it names.

    A scan costs a decoder about as much time for each of them, whether its data says something about it or not.
    """
    width, height = (-(-side // _LARGEST_UNIT) * _LARGEST_UNIT for side in head.size)
    most = max((h * v for _, h, v in head.components), default=1)
    # No component has more samples than pixels; what comes twice, or not at all, counts as much as it could.
    samples: dict[int, int] = {}
    for ident, h, v in head.components:
        samples[ident] = max(samples.get(ident, 0), width * height * h * v // max(1, most))
    found = []
    for marker, start, end in islice(_segments(data), MAX_SEGMENTS):
        if marker == _START_OF_SCAN:
            named = bytes(data[start + 5 : end - 3 : 2])
            found.append(sum(samples.get(ident, width * height) for ident in named))
    return found


def _segments(data: Data) -> Iterator[_Segment]:
    """Yield the segments of a JPEG after its first marker, to its end or to one that is cut off."""
    at = len(_START_OF_IMAGE)
    while (found := _MARKER.search(data, at)) is not None:
        start = found.start()
        marker = data[start + 1]
        if marker in _ALONE:
            yield _Segment(marker, start, start + 2)
            return
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        at = start + 2 + length
        if length < 2 or at > len(data):  # noqa: PLR2004 (the length counts itself)
            return
        yield _Segment(marker, start, at)


def _without_metadata(data: bytes, segment: _Segment) -> bytes:
    """Return what a decoder needs of a segment."""
    marker, start, end = segment
    if marker in _NEEDED:
        return data[start:end]
    content = data[start + 4 : end]
    if marker == _APP0 and content.startswith(_JFIF) and len(content) >= _JFIF_BYTES:
        return _application_segment(marker, content[:_JFIF_BYTES] + _NO_THUMBNAIL)
    if marker == _APP14 and content.startswith(_ADOBE) and len(content) >= _ADOBE_BYTES:
        return _application_segment(marker, content[:_ADOBE_BYTES])
    return b""


def _application_segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def _asks_to_turn(tiff: bytes) -> bool:
    """Return whether EXIF data has another orientation than upright, or cannot be read (CIPA DC-008, TIFF 6.0)."""
    order = _BYTE_ORDERS.get(tiff[:2])
    if order is None:
        return True
    at = int.from_bytes(tiff[4:8], order)
    entries = int.from_bytes(tiff[at : at + 2], order)
    for entry in range(at + 2, min(at + 2 + entries * _ENTRY_BYTES, len(tiff)), _ENTRY_BYTES):
        if int.from_bytes(tiff[entry : entry + 2], order) == _ORIENTATION:
            return int.from_bytes(tiff[entry + 8 : entry + 10], order) != _UPRIGHT
    return False
