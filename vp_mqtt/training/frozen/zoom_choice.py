"""Chooses by cross-validation whether frozen backbones see whole pictures, or their centre enlarged.

Why the centre may be better: `vp_mqtt.training.zoom`. What is at the edge is not seen then, so the pictures decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.datasets.split import stratified_split
from vp_mqtt.training.frozen.cross_validation import FOLDS, folds_of, predict_unseen
from vp_mqtt.training.frozen.features import Watcher, measure_features
from vp_mqtt.training.frozen.start import Start

ZOOMS = (1.0, 1.15)

_STAGE = "comparing"
_MOST_PICTURES = 400


def with_best_zoom(start: Start, pictures: Pictures, classes: int, seed: int, watcher: Watcher) -> Start:
    """Return a start with the zoom that gives the true classes the higher probability; with none where they are level.

    Args:
        start: backbones; one that crops a margin already is returned as it is.
        pictures: to learn, at least one; up to 400 of them are looked at.
        classes: number of classes.
        seed: random seed of the folds.
        watcher: follows the work.

    Raises:
        UserError: a picture cannot be read.
        Cancelled: the watcher says so.
    """
    if start.preprocessing.margin:
        return start
    pictures = pictures.subset(looked_at(pictures.labels, seed))
    total = len(pictures) * len(ZOOMS)
    starts = [with_zoom(start, zoom) for zoom in ZOOMS]
    features = []
    for place, one in enumerate(starts):
        part = Watcher(partial(_report_part, watcher, place * len(pictures), total))
        features.append(measure_features(one, pictures, part, _STAGE, has_mirrored=False))
    weights = FamilySpec(name="own", variants=tuple(one.spec for one in start.backbones)).vote_weights()
    check = partial(watcher.report, _STAGE, total, total)
    return starts[best_features(features, weights, pictures.labels, classes, seed, check=check)]


def looked_at(labels: NDArray[np.int64], seed: int) -> NDArray[np.intp]:
    """Return the indices of the pictures to compare by: of many, some of every class."""
    if len(labels) <= _MOST_PICTURES:
        return np.arange(len(labels))
    return stratified_split(labels, _MOST_PICTURES / len(labels), seed)[1]


def with_zoom(start: Start, zoom: float) -> Start:
    """Return a start whose boards enlarge pictures so much before they crop their centre.

    Raises:
        UserError: it crops a margin already, which is another way to crop.
    """
    if start.preprocessing.margin and zoom > 1:
        raise UserError(f"--zoom {zoom:g}: '{start.name}' crops a margin already; leave --zoom out")
    return replace(start, preprocessing=start.preprocessing.model_copy(update={"zoom": zoom}))


def best_features(
    candidates: Sequence[Sequence[NDArray[np.float32]]],
    weights: Sequence[float],
    labels: NDArray[np.int64],
    classes: int,
    seed: int,
    *,
    check: Callable[[], None] = lambda: None,
) -> int:
    """Return which features of the same pictures are best: by the cross-validated probability of the true classes.

    It says more than accuracy where few pictures are wrong.

    Args:
        candidates: the features of each variant, shape (N, 1, features).
        weights: of the variants' votes.
        labels: class indices, shape (N,).
        classes: number of classes.
        seed: random seed of the folds.
        check: called before each fit; what it raises ends the work.

    Returns:
        The index of the candidate, the first one of several that are level.
    """
    folds = folds_of(labels, FOLDS, seed)
    rows = np.arange(len(labels))
    scores = []
    with threadpool_limits(1):
        for features in candidates:
            given = [predict_unseen(own, labels, classes, folds, check=check)[rows, labels].mean() for own in features]
            scores.append(np.average(given, weights=weights))
    return int(np.argmax(scores))


def _report_part(watcher: Watcher, before: int, total: int, stage: str, done: int, _of_part: int) -> None:
    watcher.report(stage, before + done, total)
