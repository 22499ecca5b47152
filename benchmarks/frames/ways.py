"""The ways in which a camera's pictures become frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vp_mqtt.inference.pictures import Picture, encode_jpeg

QUALITY = 90
_WEBCAM = (352, 288)


@dataclass(frozen=True)
class Way:
    """A way from what a camera sees to frames.

    Attributes:
        name: for tables.
        mode: width and height of the camera's pictures, in pixels; None for those that it is measured with.
        flags: of `vp-camera`.
    """

    name: str
    mode: tuple[int, int] | None = None
    flags: Sequence[str] = ()

    def jpeg(self, scene: Picture) -> bytes:
        """Return what the camera delivers of a scene."""
        if self.mode is not None:
            scene = np.asarray(cv2.resize(scene, self.mode, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return encode_jpeg(scene, QUALITY)


AS_CAPTURED = Way("as captured", flags=("--encode", "never"))
ANEW = Way("encoded anew", flags=("--encode", "always"))
WEBCAM = Way("webcam's smaller mode", _WEBCAM, ("--encode", "never"))
WAYS = (AS_CAPTURED, ANEW, WEBCAM)


def scene_of(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a photograph as a camera with so many pixels would see it: its centre, enlarged.

    Args:
        picture: shape (height, width, 3), uint8.
        size: width and height, in pixels.
    """
    height, width = picture.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    enlarged = (max(size[0], round(width * scale)), max(size[1], round(height * scale)))
    picture = np.asarray(cv2.resize(picture, enlarged, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    left, top = (enlarged[0] - size[0]) // 2, (enlarged[1] - size[1]) // 2
    return np.ascontiguousarray(picture[top : top + size[1], left : left + size[0]])
