"""Formats of pictures, by their first bytes and by the suffixes of their names."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class PictureFormat(StrEnum):
    """A format that can be told from its first bytes, whether pictures in it are read here or not."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    BMP = "BMP"
    TIFF = "TIFF"
    PPM = "PPM"
    GIF = "GIF"
    HEIF = "HEIF"
    AVIF = "AVIF"
    JPEG_2000 = "JPEG 2000"
    JPEG_XL = "JPEG XL"


FRAMES = frozenset({PictureFormat.JPEG})
"""What travels as a frame."""

SNAPSHOTS = FRAMES | {PictureFormat.PNG}
"""What network cameras send."""

FILES = SNAPSHOTS | {PictureFormat.WEBP, PictureFormat.BMP, PictureFormat.TIFF, PictureFormat.PPM}
"""What is read from the user's own files."""

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
)
"""Suffixes of the names of picture files that are read, in lower case."""

_SIGNATURES: tuple[tuple[bytes, PictureFormat], ...] = (
    (b"\xff\xd8", PictureFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", PictureFormat.PNG),
    (b"BM", PictureFormat.BMP),
    (b"II*\0", PictureFormat.TIFF),
    (b"MM\0*", PictureFormat.TIFF),
    (b"P2", PictureFormat.PPM),
    (b"P3", PictureFormat.PPM),
    (b"P5", PictureFormat.PPM),
    (b"P6", PictureFormat.PPM),
    (b"GIF8", PictureFormat.GIF),
    (b"\xff\x4f\xff\x51", PictureFormat.JPEG_2000),
    (b"\0\0\0\x0cjP  ", PictureFormat.JPEG_2000),
    (b"\xff\x0a", PictureFormat.JPEG_XL),
    (b"\0\0\0\x0cJXL ", PictureFormat.JPEG_XL),
)
_BRANDS = {
    b"avif": PictureFormat.AVIF,
    b"avis": PictureFormat.AVIF,
    b"heic": PictureFormat.HEIF,
    b"heix": PictureFormat.HEIF,
    b"mif1": PictureFormat.HEIF,
    b"msf1": PictureFormat.HEIF,
}
_HEAD_BYTES = 16


def find_format(data: bytes | bytearray | memoryview) -> PictureFormat | None:
    """Return the format of a picture by its first bytes; None if they are those of no format that is known here."""
    head = bytes(data[:_HEAD_BYTES])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return PictureFormat.WEBP
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return next((found for signature, found in _SIGNATURES if head.startswith(signature)), None)


def name_formats(formats: Iterable[PictureFormat]) -> str:
    """Return the names of formats for a message, such as "JPEG, PNG or WebP"."""
    names = [one for one in PictureFormat if one in formats]
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else str(last)
