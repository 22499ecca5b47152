"""Whether a small grey picture differs from another by more than noise and light. Pure.

The reference is the last picture that was published, not an average of the past: however slowly the scene changes, what
was published looks like what is there, up to the threshold.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

GreyPicture = NDArray[np.uint8]
"""Shape (height, width), uint8, 0..255; some thousands of pixels, each the mean of many of the camera's."""

# Of a camera's own regulation of its exposure, and of lamps that flicker, which a rolling shutter sees in bands of
# rows. Changes of light that are larger count as changes.
_MOST_GAIN = 1.25
_BLACK, _WHITE = 8.0, 247.0
_ENOUGH = 0.1
_DARK = 8.0  # grey levels that are added, so that the noise of dark pixels is no gain
_BLUR = (3, 3)
_NORMAL = 1.4826  # standard deviation of a normal distribution, by its median absolute deviation
_NOISE_FACTOR = 6.0
_NOISE_LIMIT = 2.0  # the threshold is raised by noise up to this many times
_REMEMBERED = 16


class ChangeDetector:
    """Compares pictures with a reference: absolute difference, without changes of the light, above a threshold.

    Pixels count as changed if the mean difference of their neighbourhood of 3 x 3 exceeds the threshold, or a higher
    one where the picture is noisy: up to twice the threshold.
    """

    def __init__(self, *, threshold: float, area: float) -> None:
        """Start without a reference: every picture differs from that.

        Args:
            threshold: in grey levels, greater than 0.
            area: share of the pixels that must have changed, 0..1.
        """
        self._threshold = threshold
        self._area = area
        self._reference: NDArray[np.float32] | None = None
        # The least of the past is that of a moment in which nothing moved.
        self._noise: deque[float] = deque(maxlen=_REMEMBERED)

    def keep(self, picture: GreyPicture) -> None:
        """Compare with this picture from now on."""
        self._reference = picture.astype(np.float32)

    def has_changed(self, picture: GreyPicture) -> bool:
        """Return whether a picture differs from the reference."""
        reference = self._reference
        if reference is None or reference.shape != picture.shape:
            return True
        difference = np.abs(cv2.blur(_residual(picture.astype(np.float32), reference), _BLUR))
        threshold = self._threshold_above(float(np.median(difference)))
        changed = int(np.count_nonzero(difference > threshold))
        return changed >= max(1, self._area * picture.size)

    def _threshold_above(self, deviation: float) -> float:
        """Return the threshold, by the median absolute difference of this picture and those before."""
        self._noise.append(deviation * _NORMAL)
        return max(self._threshold, min(_NOISE_FACTOR * min(self._noise), _NOISE_LIMIT * self._threshold))


def _residual(picture: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the difference that a change of the light does not explain, in grey levels, with its sign."""
    ratios = (picture + _DARK) / (reference + _DARK)
    # White and black pixels tell little of the light, but for rows that have hardly any others.
    tells = (np.maximum(picture, reference) < _WHITE) & (np.minimum(picture, reference) > _BLACK)
    tells[np.count_nonzero(tells, axis=1) < _ENOUGH * picture.shape[1]] = True
    gains = np.clip(_row_medians(ratios, tells), 1 / _MOST_GAIN, _MOST_GAIN)
    expected = (reference + _DARK) * gains - _DARK
    # Pixels that are black or white stay so, and lamps flicker in parts of a picture: whatever is in between will do.
    explained = np.clip(picture, np.minimum(reference, expected), np.maximum(reference, expected))
    return np.asarray(picture - explained, dtype=np.float32)


def _row_medians(values: NDArray[np.float32], counts: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the median of those values of each row that count, at least one, as a column."""
    ordered = np.sort(np.where(counts, values, np.inf), axis=1)
    middle = np.count_nonzero(counts, axis=1, keepdims=True) // 2
    return np.take_along_axis(ordered, middle, axis=1)
