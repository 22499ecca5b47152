"""From a source's pictures to the JPEGs that a camera node publishes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vp_mqtt import MAX_PIXELS
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.inference.jpeg import Jpeg
from vp_mqtt.inference.pictures import Picture, PictureError, check_frame, encode_jpeg, has_too_many_scans
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.nodes.views import View

_AS_IT_IS = View()
_MIN_QUALITY = 30
_QUALITY_STEP = 20
_MIN_SIDE = 16
MAX_FRAME_BYTES = int(VariantSettings.model_fields["max_frame_bytes"].default)
"""Of the frames that variant nodes accept, unless their settings say otherwise."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A frame as JPEG.

    Attributes:
        jpeg: the JPEG.
        is_passed_through: its picture data is the source's own, byte for byte; metadata is left out.
        is_shrunk: its quality or size was reduced, to fit into the broker's packet limit.
    """

    jpeg: bytes
    is_passed_through: bool = False
    is_shrunk: bool = False


class FrameEncoder:
    """Encodes frames, unless the source delivers JPEGs that can be published as they are."""

    def __init__(
        self, *, size: tuple[int, int] | None, quality: int, passes_through: bool, view: View = _AS_IT_IS
    ) -> None:
        """Set what frames are to look like.

        Args:
            size: their width and height, in pixels; None for the source's own.
            quality: of the JPEGs that are encoded here, 1..100.
            passes_through: whether a source's JPEGs are published as they are, where they can be.
            view: the part of the source's picture that is published, and which way up.
        """
        self._view = view
        self._size = size
        self._quality = quality
        self._passes_through = passes_through and view.is_all

    def encode(self, captured: Captured, limit: int) -> EncodedFrame | None:
        """Return a picture as JPEG of at most `limit` bytes; None if not even a tiny one fits.

        Raises:
            PictureError: the picture cannot be decoded or encoded.
        """
        jpeg = captured.jpeg
        if jpeg is not None and self._passes_through and can_pass(jpeg, self._size, limit):
            return EncodedFrame(jpeg.bare, is_passed_through=True)
        picture = self._view.of(captured.picture)
        if self._size is not None and picture.shape[1::-1] != self._size:
            shrinks = self._size[0] < picture.shape[1]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            picture = np.asarray(cv2.resize(picture, self._size, interpolation=interpolation), dtype=np.uint8)
        data = encode_jpeg(picture, self._quality)
        if len(data) <= limit:
            return EncodedFrame(data)
        shrunk = shrink_to(picture, self._quality, limit)
        return None if shrunk is None else EncodedFrame(shrunk, is_shrunk=True)


def can_pass(jpeg: Jpeg, size: tuple[int, int] | None, limit: int) -> bool:
    """Return whether a JPEG can be published as it is, apart from its metadata.

    Args:
        jpeg: the JPEG.
        size: width and height that published frames are to have, in pixels; None for any.
        limit: the broker's limit of its size, in bytes.
    """
    head = jpeg.head
    if not head.is_common or has_too_many_scans(head, jpeg.scans):
        return False
    # What every variant would refuse is encoded anew.
    try:
        check_frame(jpeg.bare, head)
    except PictureError:
        return False
    if len(jpeg.bare) > min(limit, MAX_FRAME_BYTES) or not 0 < head.size[0] * head.size[1] <= MAX_PIXELS:
        return False
    # What asks viewers to turn the picture is metadata, too.
    return not head.is_turned and (size is None or head.size == size)


def shrink_to(picture: Picture, quality: int, limit: int) -> bytes | None:
    """Encode a picture as JPEG of at most `limit` bytes, first at lower qualities, then at smaller sizes.

    Args:
        picture: shape (height, width, 3), uint8.
        quality: to begin with, 1..100.
        limit: in bytes.

    Returns:
        The JPEG, or None if not even a tiny picture fits.

    Raises:
        PictureError: the picture cannot be encoded.
    """
    while min(picture.shape[:2]) >= _MIN_SIDE:
        for attempt in range(quality, min(quality, _MIN_QUALITY) - 1, -_QUALITY_STEP):
            data = encode_jpeg(picture, attempt)
            if len(data) <= limit:
                return data
        picture = np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return None
