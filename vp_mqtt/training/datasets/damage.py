"""Finds pictures that are damaged in the middle: decoders fill what is missing with grey, and continue."""

from __future__ import annotations

import importlib.util

from vp_mqtt.inference.pictures import PictureError, check_jpeg

_NAMED_IN = "simplejpeg"
_FOUR_COLOURS = {"CMYK", "YCCK"}


def can_find_damage() -> bool:
    """Return whether the library is installed that tells what libjpeg complains of."""
    return importlib.util.find_spec(_NAMED_IN) is not None


def find_damage(data: bytes | None) -> str | None:
    """Return what libjpeg complains of in a JPEG that OpenCV decodes; None for nothing.

    What is no JPEG, or is refused anyway, is not looked at. The JPEG is decoded once more, at an eighth of its size:
    OpenCV lets libjpeg print its complaints to standard error, without a file's name.
    """
    if not data:
        return None
    try:
        check_jpeg(data)
    except PictureError:
        return None
    import simplejpeg  # noqa: PLC0415 (only where it is installed)

    try:
        colours = simplejpeg.decode_jpeg_header(data)[2]
        target = "CMYK" if colours in _FOUR_COLOURS else "GRAY"
        simplejpeg.decode_jpeg(data, target, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        return str(error)
    return None
