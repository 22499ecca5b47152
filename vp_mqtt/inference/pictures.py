"""Pictures: decoded safely, encoded as JPEG, resized, and prepared as a model's input."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt import MAX_PIXELS
from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.inference.jpeg import JpegHead, count_scans, read_head, samples_of_scans
from vp_mqtt.inference.picture_formats import FRAMES, PictureFormat, find_format, name_formats

Picture = NDArray[np.uint8]
"""Shape (height, width, 3), uint8, 0..255, channels in OpenCV's order: blue, green, red."""
GreyPicture = NDArray[np.uint8]
"""Shape (height, width), uint8, 0..255."""

_HALF_RANGE = 127.5

# A JPEG can be decoded at a fraction of its size, from fewer coefficients of its cosine transform; smallest first.
_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
_REDUCED_GREY = (
    (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
    (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
)
_SPARE = {1: 1.5, 2: 1.0}
"""A reduced picture is at least so much larger than needed, by the version of the preprocessing."""

# A progressive JPEG is decoded scan by scan, and each goes through all pixels, even if it holds a few bytes. Encoders
# write about ten scans.
_MAX_SCANS = 64
_MAX_SCAN_PIXELS = 16 * MAX_PIXELS
_LARGEST_UNIT = 32  # pixels: side of the largest unit that a scan may consist of

# Frames come from anyone who may publish some. What they may cost is what a progressive photograph of 12 million pixels
# with colours in full resolution needs: some 14 samples per pixel in all its scans.
_MAX_FRAME_SAMPLES = 200_000_000
_MAX_COEFFICIENTS = 3 * 12_500_000  # that wait in memory, 2 bytes each, where there are several scans
_FRAME_COMPONENTS = {1, 3}


class PictureError(ValueError):
    """The data is not a picture, or is one that is refused."""


def _read_mode(head: JpegHead, side: int | None, version: int) -> int:
    """Return the mode in which OpenCV is to read a JPEG that will be resized to a square of this side."""
    if side is None:
        return cv2.IMREAD_COLOR
    spare = _SPARE[version]
    return next((mode for scale, mode in _REDUCED if min(head.size) >= spare * scale * side), cv2.IMREAD_COLOR)


def check_jpeg(data: bytes | bytearray | memoryview) -> JpegHead:
    """Return a JPEG's head, if it is one that is decoded here: of a coding that is in use, and in a bounded time.

    Raises:
        PictureError: it is no JPEG, or one that is refused.
    """
    head = read_head(data)
    if head is None:
        raise PictureError("not a picture")
    if not head.is_decodable:
        raise PictureError("neither a baseline nor a progressive JPEG of 8 bits")
    if head.size[0] * head.size[1] > MAX_PIXELS:
        raise PictureError("picture too large")
    if has_too_many_scans(head, count_scans(data)):
        raise PictureError("JPEG with too many scans")
    return head


def has_too_many_scans(head: JpegHead, scans: int) -> bool:
    """Return whether decoding a JPEG with so many scans would take too long for its data."""
    covered = _round_up(head.size[0]) * _round_up(head.size[1])
    return scans > _MAX_SCANS or scans * covered > _MAX_SCAN_PIXELS


def check_frame(data: bytes | bytearray | memoryview, head: JpegHead) -> None:
    """Check that a JPEG may travel as a frame: that its decoding takes no more than that of a large photograph.

    Raises:
        PictureError: it is refused.
    """
    if len(head.components) not in _FRAME_COMPONENTS:
        raise PictureError("JPEG with neither 1 nor 3 components")
    samples = samples_of_scans(data, head)
    if sum(samples) > _MAX_FRAME_SAMPLES:
        raise PictureError("JPEG too dear to decode")
    if len(samples) > 1 and _coefficients(head) > _MAX_COEFFICIENTS:
        raise PictureError("picture too large for several scans")


def _coefficients(head: JpegHead) -> int:
    most = max(h * v for _, h, v in head.components)
    area = _round_up(head.size[0]) * _round_up(head.size[1])
    return sum(area * h * v // max(1, most) for _, h, v in head.components)


def _round_up(side: int) -> int:
    return -(-side // _LARGEST_UNIT) * _LARGEST_UNIT


def decode(
    data: bytes | bytearray | memoryview,
    side: int | None = None,
    *,
    version: int = 1,
    formats: frozenset[PictureFormat] = FRAMES,
) -> Picture:
    """Decode an encoded picture, grey ones into three equal channels.

    Only pictures of these formats reach a decoder: some decoders that OpenCV contains take gigabytes or minutes for a
    small file that is made for it.

    Args:
        data: the encoded picture.
        side: side of the square that the picture will be resized to, in pixels: a JPEG that is far larger is decoded
            at a half, a quarter or an eighth of its size, which is faster. None for full size.
        version: of the preprocessing, which says how much larger it has to be; see `Preprocessing`.
        formats: those that are expected; by default that of frames, which may cost less than other pictures.

    Raises:
        PictureError: the data is not a picture of these formats, is truncated, claims more than MAX_PIXELS pixels, or
            would take too long to decode.
    """
    if not data:
        raise PictureError("empty picture")
    found = find_format(data)
    if found is None:
        raise PictureError("not a picture")
    if found not in formats:
        raise PictureError(f"{found}, not {name_formats(formats)}")
    if found is not PictureFormat.JPEG:
        return _read(data, cv2.IMREAD_COLOR)
    head = check_jpeg(data)
    if formats == FRAMES:
        check_frame(data, head)
    return _read(data, _read_mode(head, side, version))


def decode_grey(data: bytes | bytearray | memoryview, side: int) -> GreyPicture:
    """Decode the brightness of a JPEG, much faster than the whole: at a half, a quarter or an eighth of its size.

    Args:
        data: the JPEG.
        side: that its shorter side is to have at least, in pixels, if the JPEG's own is not even shorter.

    Raises:
        PictureError: it is no JPEG, or one that `decode` would refuse.
    """
    size = check_jpeg(data).size
    modes = (mode for scale, mode in _REDUCED_GREY if min(size) >= scale * side)
    return _read(data, next(modes, cv2.IMREAD_GRAYSCALE))


def shrink_grey(picture: Picture | GreyPicture, side: int) -> GreyPicture:
    """Return the brightness of a picture, whose shorter side then has `side` pixels to less than twice as many.

    A smaller picture keeps its size. Like a JPEG that is decoded at a reduced size, it shrinks by a power of two.
    """
    scale = 1
    while min(picture.shape[:2]) >= 2 * scale * side:
        scale *= 2
    if scale > 1:
        size = (-(-picture.shape[1] // scale), -(-picture.shape[0] // scale))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if picture.ndim == 2:  # noqa: PLR2004 (it is grey)
        return picture
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _read(data: bytes | bytearray | memoryview, mode: int) -> NDArray[np.uint8]:
    try:
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), mode)
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


def resize_square(picture: Picture, side: int, fit: str = "stretch", version: int = 1) -> Picture:
    """Resize a picture to (side, side, 3), uint8.

    Args:
        picture: shape (height, width, 3), or (height, width) for grey; uint8.
        side: side of the square, in pixels.
        fit: "stretch" or "cover", see `Preprocessing`.
        version: of the preprocessing, see there.
    """
    height, width = picture.shape[:2]
    if fit == "cover" and height != width:
        square = min(height, width)
        top, left = (height - square) // 2, (width - square) // 2
        picture = picture[top : top + square, left : left + square]
        height = width = square
    if (height, width) == (side, side):
        return picture
    if side >= min(height, width):
        interpolation = cv2.INTER_CUBIC
    elif version == 1:
        interpolation = cv2.INTER_AREA
    else:
        picture, interpolation = _shrink_by_halves(picture, side), cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=interpolation), dtype=np.uint8)


def _shrink_by_halves(picture: Picture, side: int) -> Picture:
    """Return a picture whose shorter side has at least `side` pixels, but less than twice as many: means of squares.

    Like a JPEG that is decoded at a reduced size, it shrinks by a power of two. Pixels at the right and at the bottom
    that fill no square are left out.
    """
    height, width = picture.shape[:2]
    scale = 1 << (min(height, width) // side).bit_length() - 1
    if scale == 1:
        return picture
    size = (width // scale, height // scale)
    whole = picture[: size[1] * scale, : size[0] * scale]
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shrink(picture: Picture, size: tuple[int, int]) -> Picture:
    """Make a picture smaller, nearly as by area (OpenCV's INTER_AREA), which takes more than twice as long.

    First by the largest whole number that leaves it large enough (pixels at the right and at the bottom that fill no
    square are left out), then bilinear to twice the size, and from there by means of two by two pixels.

    Args:
        picture: shape (height, width, 3), uint8; at least as large as the result.
        size: width and height of the result, in pixels.
    """
    scale = min(picture.shape[1] // size[0], picture.shape[0] // size[1])
    if scale > 1:
        whole = (picture.shape[1] // scale, picture.shape[0] // scale)
        part = picture[: whole[1] * scale, : whole[0] * scale]
        picture = np.asarray(cv2.resize(part, whole, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if picture.shape[1::-1] == size:
        return picture
    twice = cv2.resize(picture, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(twice, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def prepare(picture: Picture, resolution: int, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return a model's input, shape (1, 3, resolution, resolution), float32, RGB, -1..1.

    Args:
        picture: shape (height, width, 3), uint8, blue, green, red.
        resolution: the variant's, in pixels.
        preprocessing: the bundle's.
    """
    side = preprocessing.side(resolution)
    square = resize_square(picture, side, preprocessing.fit, preprocessing.version)
    start = (side - resolution) // 2
    square = square[start : start + resolution, start : start + resolution]
    blob = cv2.dnn.blobFromImage(square, 1 / _HALF_RANGE, mean=(_HALF_RANGE,) * 3, swapRB=True)
    return np.asarray(blob, dtype=np.float32)
