"""Splits data sets into training, validation and test parts: stratified and seeded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.training.datasets.pictures import Labels, Pictures

VALIDATION_SHARE = 1 / 12
TEST_SHARE = 1 / 6


def stratified_split(labels: Labels, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of (the rest, a part), where the part holds `share` of each class.

    Of a class with at least two members, both the rest and the part get at least one.

    Args:
        labels: shape (N,), int64, N at least 1.
        share: 0..1.
        seed: the same seed gives the same split.
    """
    rng = np.random.default_rng(seed)
    part = []
    for index in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == index))
        part.append(members[: min(max(1, round(len(members) * share)), len(members) - 1)])
    chosen = np.sort(np.concatenate(part))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def cut_off(pictures: Pictures, share: float, seed: int) -> tuple[Pictures, Pictures]:
    """Return (the rest, a part) of the pictures, the same share of every class.

    Args:
        pictures: at least one.
        share: of the part, 0..1.
        seed: the same seed gives the same split.
    """
    rest, part = stratified_split(pictures.labels, share, seed)
    return pictures.subset(rest), pictures.subset(part)
