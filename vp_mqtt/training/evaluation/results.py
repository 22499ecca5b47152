"""Results of an evaluation, as values and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Subset = tuple[int, ...]
"""Variant indices, ascending."""


@dataclass(frozen=True)
class SubsetAccuracy:
    """Accuracy of the fused label over the subsets of one size.

    Attributes:
        mean: over the subsets, 0..1.
        worst: the lowest accuracy, 0..1, and its subset.
        best: the highest accuracy, 0..1, and its subset.
    """

    mean: float
    worst: tuple[float, Subset]
    best: tuple[float, Subset]


@dataclass(frozen=True)
class MetricValues:
    """One metric, 0..1, of the fused label with all variants alive, and of each variant alone."""

    fused: float
    variants: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the rounded values for `vp eval --json`."""
        return {"fused": round(self.fused, 4), "variants": [round(one, 4) for one in self.variants]}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        images: number of pictures.
        k: classes in a vote, for everything but `by_k`.
        accuracy: share of correct labels.
        mean_per_class: mean of the accuracies of the classes.
        ece: expected calibration error of the published confidence, 15 bins.
        by_alive: accuracy by the number of variants alive.
        by_k: accuracy of the fused label, all variants alive, by the classes in a vote, 0..1.
        confusion: pictures by class (row) and fused label (column), shape (classes, classes), int64.
    """

    images: int
    k: int
    accuracy: MetricValues
    mean_per_class: MetricValues
    ece: MetricValues
    by_alive: dict[int, SubsetAccuracy]
    by_k: dict[int, float]
    confusion: NDArray[np.int64]

    @property
    def fused(self) -> float:
        """Accuracy of the fused label with all variants alive, 0..1."""
        return self.accuracy.fused

    def as_dict(self) -> dict[str, Any]:
        """Return the result for `vp eval --json`."""
        by_size = {str(size): accuracy for size, accuracy in self.by_alive.items()}
        return {
            "images": self.images,
            "k": self.k,
            "accuracy": {
                **self.accuracy.as_dict(),
                "by_alive": {size: round(accuracy.mean, 4) for size, accuracy in by_size.items()},
                "by_alive_worst": {size: _extreme_as_dict(accuracy.worst) for size, accuracy in by_size.items()},
                "by_alive_best": {size: _extreme_as_dict(accuracy.best) for size, accuracy in by_size.items()},
                "by_k": {str(k): round(share, 4) for k, share in self.by_k.items()},
            },
            "mean_per_class": self.mean_per_class.as_dict(),
            "ece": self.ece.as_dict(),
        }


def _extreme_as_dict(found: tuple[float, Subset]) -> dict[str, Any]:
    return {"accuracy": round(found[0], 4), "alive": list(found[1])}
