"""What a training does where the command line leaves it open: by the size and the number of the pictures."""

from __future__ import annotations

import numpy as np

from vp_mqtt.training.datasets import Dataset, Pictures

SMALL_SIDE = 64
"""Pictures whose shorter side has at most so many pixels are small."""
FEWEST_TO_FINE_TUNE = 60
"""Validation pictures: with fewer, it cannot be told whether fine-tuning has helped."""

_LOOKED_AT = 32
_ENOUGH_FOR_LARGE_BATCHES = 1024
_LARGE_BATCH, _BATCH = 128, 16
_STEPS_OF_FEWEST = 4


def usual_side(pictures: Pictures) -> int:
    """Return the median of the shorter sides of some of the pictures, in pixels.

    Raises:
        UserError: one of them cannot be read.
    """
    chosen = np.linspace(0, len(pictures) - 1, min(_LOOKED_AT, len(pictures))).astype(int)
    return int(np.median([min(pictures.picture(int(index)).shape[:2]) for index in chosen]))


def family_for(side: int) -> str:
    """Return the family for pictures of this size, in pixels."""
    return "small" if side <= SMALL_SIDE else "paper"


def start_for(side: int) -> str:
    """Return the built-in bundle whose backbones know pictures of this size, in pixels."""
    return "cifar10" if side <= SMALL_SIDE else "caltech101"


def batch_for(pictures: int) -> int:
    """Return the number of pictures in a training step: the fewer pictures there are, the fewer."""
    if pictures >= _ENOUGH_FOR_LARGE_BATCHES:
        return _LARGE_BATCH
    return max(2, min(_BATCH, pictures // _STEPS_OF_FEWEST))


def can_tell_gain(dataset: Dataset) -> bool:
    """Return whether there are enough pictures to tell whether fine-tuning has helped."""
    return len(dataset.validation) >= FEWEST_TO_FINE_TUNE
