"""Random number generators of a training: one stream per purpose, addressed by position.

A generator depends only on the seed and the position (epoch, step), not on what was drawn before, so a resumed
training draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """RNG stream ids. Their values are part of what a seed reproduces."""

    ORDER = 1
    VIEWS = 2
    MIXUP = 3
    DROPOUT = 4
    MISSING = 5


def rng_at(stream: Stream, seed: int, *position: int) -> np.random.Generator:
    """Return the generator of a stream at a position.

    Args:
        stream: what the numbers are for.
        seed: the training's.
        position: such as (epoch, step), each from 0.
    """
    return np.random.default_rng([int(stream), seed, *position])
