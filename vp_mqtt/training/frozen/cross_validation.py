"""Cross-validated classifiers: what each says of the pictures that it was not fitted on. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.training.frozen.classifier import Classifier, fit_classifier

FOLDS = 5
PENALTY = 1e-4
"""Of the weights. From 1e-5 to 1e-3, accuracies are the same to a fifth of a point."""


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """A variant's classifier.

    Attributes:
        classifier: fitted on all pictures.
        probabilities: of each picture by a classifier that was fitted without it, shape (N, classes).
    """

    classifier: Classifier
    probabilities: NDArray[np.float32]


def folds_of(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each picture, shape (N,), 0..count - 1; each has its share of every class."""
    rng = np.random.default_rng(seed)
    folds = np.empty(len(labels), dtype=np.int64)
    begin = 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        # Each class begins where the one before ended, so that the folds are alike in size.
        folds[members] = (begin + np.arange(len(members))) % count
        begin += len(members)
    return folds


def cross_validate(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    folds: NDArray[np.int64],
    *,
    check: Callable[[], None] = lambda: None,
) -> CrossValidated:
    """Fit a classifier on pictures, and on all but each fold of them; see `predict_unseen` for the arguments."""
    probabilities = predict_unseen(features, labels, classes, folds, check=check)
    check()
    return CrossValidated(_fit(features, labels, classes), probabilities)


def predict_unseen(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    folds: NDArray[np.int64],
    *,
    check: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Return the probabilities of each picture by a classifier that was fitted on the other folds, shape (N, classes).

    Args:
        features: of the views of each picture, shape (N, views, features); the first view counts for the result.
        labels: class indices, shape (N,).
        classes: number of classes.
        folds: of each picture, shape (N,).
        check: called before each fit; what it raises ends the work.
    """
    probabilities = np.empty((len(labels), classes), dtype=np.float32)
    for fold in np.unique(folds):
        check()
        inside = folds == fold
        fitted = _fit(features[~inside], labels[~inside], classes)
        probabilities[inside] = fitted.probabilities(features[inside, 0])
    return probabilities


def _fit(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Classifier:
    views = features.shape[1]
    return fit_classifier(features.reshape(-1, features.shape[2]), np.repeat(labels, views), classes, PENALTY)
