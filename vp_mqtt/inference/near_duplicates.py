"""Near-duplicates: pictures that show the same scene, told by a perceptual hash. Pure.

The hash is that of the cosine transform (pHash: Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010): which of the lowest frequencies of the brightness stand out. Noise, JPEG compression and a change of
light change few of its bits; something that moves changes many.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from vp_mqtt.inference.pictures import GreyPicture, Picture

HASH_BITS = 256
MAX_DISTANCE = 10
"""Bits in which the hashes of near-duplicates differ at most."""

_SIDE = 64
_FREQUENCIES = 16
_NOISE = 8.0
"""What noise of a camera makes of an even surface, at most."""


def perceptual_hash(picture: Picture | GreyPicture) -> int:
    """Return the hash of a picture, HASH_BITS bits.

    Args:
        picture: shape (height, width, 3) or (height, width), uint8; 64 pixels on the shorter side are enough.
    """
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)  # noqa: PLR2004 (it is grey)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    found = np.asarray(cv2.dct(small))[:_FREQUENCIES, :_FREQUENCIES].ravel()
    # The first value is the mean brightness, which says nothing of the scene.
    bits = found > max(float(np.median(found[1:])), _NOISE)
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def distance(one: int, other: int) -> int:
    """Return the number of bits in which two hashes differ, 0..HASH_BITS."""
    return (one ^ other).bit_count()


class SeenPictures:
    """Remembers the hashes of pictures, and tells those that are new.

    seen = SeenPictures()
    kept = [picture for picture in pictures if seen.add(perceptual_hash(picture))]
    """

    def __init__(self, hashes: Iterable[int] = (), *, max_distance: int = MAX_DISTANCE) -> None:
        """Begin with the hashes of pictures that are there already."""
        self._hashes = list(hashes)
        self._max_distance = max_distance

    def __len__(self) -> int:
        return len(self._hashes)

    def is_new(self, found: int) -> bool:
        """Return whether no picture with such a hash, or nearly so, was seen."""
        return all(distance(found, other) > self._max_distance for other in self._hashes)

    def add(self, found: int) -> bool:
        """Remember a hash if it is new, and return whether it is."""
        if not self.is_new(found):
            return False
        self._hashes.append(found)
        return True
