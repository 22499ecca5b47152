"""Which part of a source's picture is published, and which way up. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.config.regions import WHOLE, Rectangle

_QUARTER = 90
_QUARTERS = 4


@dataclass(frozen=True, slots=True)
class View:
    """A part of a picture, after the picture was turned and mirrored.

    Attributes:
        rectangle: the part, in the picture as it is after it was turned.
        rotate: by how much the picture is turned clockwise, in degrees: 0, 90, 180 or 270.
        mirror: whether the picture is mirrored then, left to right.
    """

    rectangle: Rectangle = WHOLE
    rotate: int = 0
    mirror: bool = False

    @property
    def is_all(self) -> bool:
        """Whether this is the source's whole picture as it is."""
        return self == View()

    def of(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return this part of a picture.

        Args:
            picture: shape (height, width, 3), or (height, width) for grey; uint8.
        """
        if self.is_all:
            return picture
        # Arrays that share the pixels, until the part is known.
        turned = np.rot90(picture, -(self.rotate // _QUARTER) % _QUARTERS)
        if self.mirror:
            turned = turned[:, ::-1]
        height, width = turned.shape[:2]
        left, top, right, bottom = self.rectangle.pixels(width, height)
        return np.ascontiguousarray(turned[top:bottom, left:right])

    def reduced_side(self, side: int) -> int:
        """Return how long the shorter side of a whole picture has to be for one of `side` pixels of this part."""
        rectangle = self.rectangle
        return round(side / min(rectangle.right - rectangle.left, rectangle.bottom - rectangle.top))
