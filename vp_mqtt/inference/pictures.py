"""Pictures from JPEG, safely, and from a picture to a model's input."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import Preprocessing

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
"""Endings of the names of files that are taken for pictures, in lower case."""

Picture = NDArray[np.uint8]
"""Shape (height, width, 3), uint8, 0..255, channels in OpenCV's order: blue, green, red."""

_HALF_RANGE = 127.5

# What JPEG can leave out while it decodes (ITU-T T.81, by fewer coefficients of the cosine transform), least first.
_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
_SPARE = 1.5  # a reduced picture is so much larger than what is needed of it: then labels stay what they are
_START_OF_IMAGE, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_APP1, _EXIF = 0xE1, b"Exif\0"
_SEGMENT_BYTES = 9


class PictureError(ValueError):
    """The bytes are not a picture that we are ready to decode."""


@dataclass(frozen=True, slots=True)
class JpegHead:
    """What a JPEG says of itself before its picture begins.

    Attributes:
        size: width and height in pixels, as stored.
        is_common: baseline or progressive, of 8 bits: what every viewer shows.
        has_exif: it tells where it comes from, maybe, and may ask to be turned, so that it is seen in another size.
    """

    size: tuple[int, int]
    is_common: bool
    has_exif: bool


def jpeg_head(data: bytes | bytearray | memoryview) -> JpegHead | None:
    """Return what a JPEG says of itself, without decoding it; None where it is not a JPEG."""
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


def jpeg_size(data: bytes | bytearray | memoryview) -> tuple[int, int] | None:
    """Return width and height that a JPEG claims, in pixels, without decoding it; None where it is not a JPEG."""
    head = jpeg_head(data)
    return head.size if head is not None else None


def begins_as_jpeg(data: bytes | bytearray | memoryview) -> bool:
    """Tell whether data begins with a JPEG's first marker."""
    return bytes(data[:2]) == _START_OF_IMAGE


def is_whole_jpeg(data: bytes | bytearray | memoryview) -> bool:
    """Tell whether a JPEG has its head and its end, and nothing after it; what is between is not looked at."""
    return bytes(data[-2:]) == _END_OF_IMAGE and jpeg_head(data) is not None


def _reading(data: bytes | bytearray | memoryview, side: int | None) -> int:
    """Return how OpenCV is to read a picture of which a square of this side is needed."""
    size = jpeg_size(data) if side is not None else None
    if side is None or size is None:
        return cv2.IMREAD_COLOR
    return next((how for scale, how in _REDUCED if min(size) >= _SPARE * scale * side), cv2.IMREAD_COLOR)


def decode(data: bytes | bytearray | memoryview, side: int | None = None) -> Picture:
    """Decode an encoded picture (JPEG, PNG, ..), grey ones into three equal channels.

    Args:
        data: the encoded picture.
        side: of the square that it will be resized to, in pixels: a JPEG that is far larger is decoded at half, a
            quarter or an eighth of its size, which is faster. None: at full size.

    Raises:
        PictureError: the data is not a picture, is truncated, or claims more than MAX_PIXELS pixels.
    """
    if not data:
        raise PictureError("empty picture")
    try:
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), _reading(data, side))
    except cv2.error as error:
        too_large = "MAX_IMAGE_PIXELS" in str(error)
        raise PictureError("picture too large" if too_large else "not a picture") from None
    if picture is None:
        raise PictureError("not a picture")
    return np.asarray(picture, dtype=np.uint8)


def encode_jpeg(picture: Picture, quality: int) -> bytes:
    """Encode a picture as baseline JPEG, quality 1..100.

    Raises:
        PictureError: OpenCV could not encode it.
    """
    try:
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        done = False
    if not done:
        raise PictureError("the picture cannot be encoded as JPEG")
    return data.tobytes()


def resize_square(picture: Picture, side: int, fit: str = "stretch") -> Picture:
    """Resize a picture to (side, side, 3), uint8: by area where it shrinks, bicubic where it grows.

    Args:
        picture: shape (height, width, 3), or (height, width) for grey; uint8.
        side: of the square, in pixels.
        fit: "stretch" or "cover", see `Preprocessing`.
    """
    height, width = picture.shape[:2]
    if fit == "cover" and height != width:
        square = min(height, width)
        top, left = (height - square) // 2, (width - square) // 2
        picture = picture[top : top + square, left : left + square]
        height = width = square
    if (height, width) == (side, side):
        return picture
    interpolation = cv2.INTER_AREA if side < min(height, width) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (side, side), interpolation=interpolation), dtype=np.uint8)


def prepare(picture: Picture, resolution: int, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return a model's input, shape (1, 3, resolution, resolution), float32, RGB, -1..1.

    Args:
        picture: shape (height, width, 3), uint8, blue, green, red.
        resolution: the variant's, in pixels.
        preprocessing: the bundle's.
    """
    margin = preprocessing.margin
    square = resize_square(picture, resolution + margin, preprocessing.fit)
    start = margin // 2
    square = square[start : start + resolution, start : start + resolution]
    blob = cv2.dnn.blobFromImage(square, 1 / _HALF_RANGE, mean=(_HALF_RANGE,) * 3, swapRB=True)
    return np.asarray(blob, dtype=np.float32)
