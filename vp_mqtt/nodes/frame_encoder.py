"""From a source's pictures to the JPEGs that a camera node publishes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vp_mqtt import MAX_PIXELS
from vp_mqtt.config.regions import WHOLE
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.inference.jpeg import Jpeg, read_head
from vp_mqtt.inference.pictures import Picture, PictureError, check_frame, encode_jpeg, has_too_many_scans, shrink
from vp_mqtt.nodes.board_needs import FrameSizes
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
        is_shrunk: its quality or size was reduced, to fit into the limit.
    """

    jpeg: bytes
    is_passed_through: bool = False
    is_shrunk: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        head = read_head(self.jpeg)
        return (0, 0) if head is None else head.size


class FrameEncoder:
    """Encodes frames, unless the source delivers JPEGs that can be published as they are."""

    def __init__(
        self,
        *,
        size: tuple[int, int] | None,
        quality: int,
        passes_through: bool,
        view: View = _AS_IT_IS,
        sizes: FrameSizes | None = None,
        smaller_quality: int | None = None,
    ) -> None:
        """Set what frames are to look like.

        Args:
            size: their width and height, in pixels; None for the source's own.
            quality: of the JPEGs that are encoded here, 1..100.
            passes_through: whether a source's JPEGs are published as they are, where they can be.
            view: the part of the source's picture that is published, and which way up.
            sizes: how large frames have to be, where `size` does not say; None for that of the picture.
            smaller_quality: of the JPEGs of pictures that are made smaller for boards, 1..100; None for `quality`.
        """
        self._sizes = sizes if size is None else None
        self._smaller_quality = quality if smaller_quality is None else smaller_quality
        self._view = view
        self._size = size
        self._quality = quality
        self._passes_through = passes_through and view.is_all

    def encode(self, captured: Captured, limit: int, *, is_whole: bool = False) -> EncodedFrame | None:
        """Return a picture as JPEG of at most `limit` bytes; None if not even a tiny one fits.

        Args:
            captured: the picture.
            limit: in bytes.
            is_whole: whether it is to be no smaller than it is, whatever boards need.

        Raises:
            PictureError: the picture cannot be decoded or encoded.
        """
        jpeg = captured.jpeg
        sizes = None if is_whole else self._sizes
        side = None if sizes is None else sizes.side
        if jpeg is not None and self._passes_through and can_pass(jpeg, self._size, limit):
            is_reduced = sizes is not None and side is not None and sizes.pays_for_jpeg(jpeg.head.size, side)
            if not is_reduced:
                return EncodedFrame(jpeg.bare, is_passed_through=True)
        decoded = self._picture(captured, side)
        picture = self._view.of(decoded)
        smaller = None if sizes is None or side is None else sizes.reduced(picture.shape[1::-1], side)
        picture = self._resized(picture) if smaller is None else shrink(picture, smaller)
        # A JPEG that was decoded at a reduced size may be small enough by that.
        is_smaller = smaller is not None or (jpeg is not None and max(decoded.shape[:2]) < max(jpeg.head.size))
        quality = self._smaller_quality if is_smaller else self._quality
        data = encode_jpeg(picture, quality)
        if len(data) <= limit:
            return EncodedFrame(data)
        shrunk = shrink_to(picture, quality, limit)
        return None if shrunk is None else EncodedFrame(shrunk, is_shrunk=True)

    def _picture(self, captured: Captured, side: int | None) -> Picture:
        # Parts are cut out at full resolution.
        if side is None or self._view.rectangle != WHOLE:
            return captured.picture
        return captured.reduced(side)

    def _resized(self, picture: Picture) -> Picture:
        size = self._size
        if size is None or picture.shape[1::-1] == size:
            return picture
        interpolation = cv2.INTER_AREA if size[0] < picture.shape[1] else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(picture, size, interpolation=interpolation), dtype=np.uint8)


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
