"""Synthetic pictures that cost as much to encode and decode as photographs: for measurements."""

from __future__ import annotations

import cv2
import numpy as np

from vp_mqtt.inference.pictures import Picture

_GRAIN = 2.5


def synthetic_photo(width: int, height: int, seed: int) -> Picture:
    """Return a picture with details of every size, as photographs have them: the finer, the fainter.

    At 640 x 480 pixels and quality 90 its JPEG has about as many bytes as a photograph's.

    Args:
        width: in pixels, at least 16.
        height: in pixels, at least 16.
        seed: another one gives another picture.

    Returns:
        Shape (height, width, 3), uint8.
    """
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0, dtype=np.float32)
    cells = 2
    largest = max(width, height)
    while cells <= largest:
        rows, columns = max(1, cells * height // largest), max(1, cells * width // largest)
        noise = rng.normal(size=(rows, columns, 3)).astype(np.float32)
        # Most of the detail is of brightness: colours change slowly.
        noise = 0.8 * noise.mean(axis=2, keepdims=True) * 3**0.5 + 0.2 * noise
        strength = _GRAIN * (largest / cells) ** 0.7
        picture += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        cells *= 2
    return np.clip(picture, 0, 255).astype(np.uint8)
