"""Classification metrics: accuracy, mean accuracy per class, calibration error, confusion matrix. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ECE_BINS = 15


def accuracy(predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Return the share of correct labels, 0..1.

    Args:
        predicted: class indices, shape (N,), N at least 1.
        labels: the true classes, same shape.
    """
    return float((predicted == labels).mean())


def mean_per_class(predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Return the mean over the classes of the accuracy on each, 0..1; classes without pictures do not count.

    Args:
        predicted: class indices, shape (N,), N at least 1.
        labels: the true classes, same shape.
    """
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


def calibration_error(confidences: NDArray[np.floating], is_correct: NDArray[np.bool_], bins: int = ECE_BINS) -> float:
    """Return the expected calibration error, 0..1 (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

    Labels are grouped into bins of equal width by their confidence; the error is the mean distance between a bin's
    accuracy and its mean confidence, weighted by the number of its labels.

    Args:
        confidences: of the labels, shape (N,), 0..1, N at least 1.
        is_correct: whether each label is correct, same shape.
        bins: number of bins.
    """
    # Bins are open below and closed above, as in the paper.
    bin_of_label = np.clip(np.ceil(confidences * bins).astype(np.intp) - 1, 0, bins - 1)
    counts = np.bincount(bin_of_label, minlength=bins)
    gaps = np.bincount(bin_of_label, weights=is_correct.astype(np.float64) - confidences, minlength=bins)
    return float(np.abs(gaps[counts > 0]).sum() / len(confidences))


def confusion(predicted: NDArray[np.integer], labels: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Return the number of pictures by class (row) and label (column), shape (classes, classes), int64."""
    flat = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def auroc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Return the area under the receiver operating characteristic, 0..1 (Fawcett, Pattern Recognition Letters 2006).

    That is the probability that one of the first has a higher score than one of the second; of equal ones, half.

    Args:
        positive: scores, shape (N,), N at least 1.
        negative: scores, shape (M,), M at least 1.
    """
    ascending = np.sort(negative)
    lower = np.searchsorted(ascending, positive, side="left")
    not_higher = np.searchsorted(ascending, positive, side="right")
    return float((lower + not_higher).sum() / 2 / (len(positive) * len(negative)))
