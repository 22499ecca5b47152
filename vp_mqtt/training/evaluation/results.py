"""Results of an evaluation, as values and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Thresholds:
    """What the thresholds in a bundle do, with all variants alive.

    Attributes:
        threshold: of the known score, 0..1.
        kept: share of the known pictures that get a label, 0..1.
        accepted: share of the foreign pictures that get a label, 0..1.
        accuracy: share of right labels among the known pictures that get one, 0..1; None if none does.
    """

    threshold: float
    kept: float
    accepted: float
    accuracy: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the rounded values for `vp eval --json`."""
        accuracy = None if self.accuracy is None else round(self.accuracy, 4)
        return {
            "threshold": self.threshold,
            "kept": round(self.kept, 4),
            "accepted": round(self.accepted, 4),
            "accuracy_of_kept": accuracy,
        }


@dataclass(frozen=True)
class UnknownEvaluation:
    """Result of an evaluation against foreign pictures, which show none of the classes.

    Attributes:
        images: number of foreign pictures.
        auroc: probability that a known picture has a higher score than a foreign one (Fawcett 2006).
        accepted: share of the foreign pictures whose score is at least that of 95 % of the known ones.
        accuracy: share of right labels among the 95 % of the known pictures with the highest scores.
        by_bundle: what the bundle's own threshold does; None if it has none.
    """

    images: int
    auroc: MetricValues
    accepted: MetricValues
    accuracy: MetricValues
    by_bundle: Thresholds | None

    def as_dict(self) -> dict[str, Any]:
        """Return the result for `vp eval --json`."""
        return {
            "images": self.images,
            "auroc": self.auroc.as_dict(),
            "accepted_at_95": self.accepted.as_dict(),
            "accuracy_at_95": self.accuracy.as_dict(),
            "by_bundle": None if self.by_bundle is None else self.by_bundle.as_dict(),
        }


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
        by_subset: accuracy of the fused label, 0..1, by the variants alive; of large families only some subsets.
        by_k: accuracy of the fused label, all variants alive, by the classes in a vote, 0..1.
        confusion: pictures by class (row) and fused label (column), shape (classes, classes), int64.
        unknown: how well foreign pictures are told from those, by the name of their folder.
    """

    images: int
    k: int
    accuracy: MetricValues
    mean_per_class: MetricValues
    ece: MetricValues
    by_alive: dict[int, SubsetAccuracy]
    by_subset: dict[Subset, float]
    by_k: dict[int, float]
    confusion: NDArray[np.int64]
    unknown: dict[str, UnknownEvaluation] = field(default_factory=dict)

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
                "by_subset": {",".join(map(str, alive)): round(share, 4) for alive, share in self.by_subset.items()},
                "by_k": {str(k): round(share, 4) for k, share in self.by_k.items()},
            },
            "mean_per_class": self.mean_per_class.as_dict(),
            "ece": self.ece.as_dict(),
            **({"unknown": {name: one.as_dict() for name, one in self.unknown.items()}} if self.unknown else {}),
        }


def _extreme_as_dict(found: tuple[float, Subset]) -> dict[str, Any]:
    return {"accuracy": round(found[0], 4), "alive": list(found[1])}
