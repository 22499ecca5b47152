"""Still scenes as a camera sees them: photographs with the noise of a sensor, other light, and JPEG."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_folders import find_pictures
from vp_mqtt.inference.pictures import Picture, PictureError, decode, encode_jpeg
from vp_mqtt.site.synthetic_photos import synthetic_photo

_ATTEMPTS = 5
_NOISES = 8


def load_scenes(folder: Path | None, count: int, size: tuple[int, int], seed: int) -> list[Picture]:
    """Return photographs, chosen at random.

    Args:
        folder: with pictures; None for synthetic ones.
        count: how many.
        size: width and height that they are resized to, in pixels.
        seed: of the choice.

    Raises:
        UserError: there are not so many.
    """
    if folder is None:
        return [synthetic_photo(*size, seed + number) for number in range(count)]
    files = find_pictures(folder).files
    found: list[Picture] = []
    for number in np.random.default_rng(seed).permutation(len(files))[: count * _ATTEMPTS]:
        try:
            picture = decode(files[number].read_bytes())
        except (PictureError, OSError):
            continue
        found.append(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8))
        if len(found) == count:
            return found
    raise UserError(f"--pictures {folder}: fewer than {count} pictures there")


@cache
def _noise(width: int, height: int) -> list[NDArray[np.float32]]:
    """Return some fields of noise, which are shifted at random: to draw one for each picture would take long."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(_NOISES):
        fine = random.standard_normal((height, width, 3), dtype=np.float32)
        coarse = random.standard_normal((height // 2, width // 2, 3), dtype=np.float32)
        both = fine + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
        found.append(np.asarray(both / 2**0.5, dtype=np.float32))
    return found


@dataclass(frozen=True)
class Sensor:
    """A camera with noise, which is new in every picture.

    Attributes:
        noise: standard deviation of each pixel's noise, in grey levels; half of its variance is that of blotches.
        quality: of the JPEGs.
        random: draws the noise.
    """

    noise: float
    quality: int
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def picture(self, scene: Picture, light: NDArray[np.float32] | float = 1.0) -> bytes:
        """Return what the camera sees, as JPEG.

        Args:
            scene: shape (height, width, 3), uint8.
            light: a factor, or one for each row, shape (height, 1, 1).
        """
        height, width = scene.shape[:2]
        seen = scene.astype(np.float32) * light
        if self.noise:
            top, left = int(self.random.integers(height)), int(self.random.integers(width))
            noise = _noise(width, height)[int(self.random.integers(_NOISES))]
            seen += self.noise * np.roll(noise, (top, left), axis=(0, 1))
        return encode_jpeg(np.clip(seen, 0, 255).astype(np.uint8), self.quality)


def with_object(scene: Picture, thing: Picture, side: float, random: np.random.Generator) -> Picture:
    """Return a scene with a picture of something else before it, at a random place.

    Args:
        scene: shape (height, width, 3), uint8.
        thing: another picture.
        side: of the thing, as a share of the scene's, 0..1.
        random: draws the place.
    """
    height, width = scene.shape[:2]
    size = max(1, round(side * width)), max(1, round(side * height))
    left, top = int(random.integers(0, width - size[0] + 1)), int(random.integers(0, height - size[1] + 1))
    changed = scene.copy()
    changed[top : top + size[1], left : left + size[0]] = cv2.resize(thing, size, interpolation=cv2.INTER_AREA)
    return changed
