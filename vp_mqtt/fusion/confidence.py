"""How sure the votes on a frame are, and whether it shows one of the classes at all. Pure.

Two numbers, both from the weighted mean of the votes, in which every class that no vote names has 0:

- The *confidence* of a class is its mean probability, sharpened by a temperature (Guo et al., "On Calibration of Modern
  Neural Networks", ICML 2017): the mean of several networks is less sure than it is right.
- The *known score* is the share of the probability that the votes leave on the classes they name. On a picture of
  something else networks spread it over many classes, and exported models take it back (`training.familiarity`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.protocol.votes import Vote

_TINY = float(np.finfo(np.float64).tiny)

Unknown = Literal["auto", "off"] | float
"""When a frame is unknown: by the bundle's thresholds, never, or below this known score."""


@dataclass(frozen=True, eq=False, slots=True)
class Confidences:
    """What the votes on one frame say together.

    Attributes:
        by_class: confidence of each class that a vote names, 0..1, by its index.
        known_score: 0..1; 0 without votes.
        is_known: whether the frame shows one of the classes; None if nobody decides that.
    """

    by_class: dict[int, float]
    known_score: float
    is_known: bool | None


def confidences(
    manifest: Manifest, votes: Mapping[int, Vote], winner: int | None, *, unknown: Unknown = "auto"
) -> Confidences:
    """Return what the votes on one frame say together.

    Args:
        manifest: of the family.
        votes: by variant index.
        winner: the class with the largest weighted sum; None without votes.
        unknown: when a frame is unknown.
    """
    if not votes or winner is None:
        return Confidences({}, 0.0, None)
    weights = [variant.weight for variant in manifest.variants]
    shares = mean_shares(votes, weights)
    score = min(max(sum(shares.values()), 0.0), 1.0)
    threshold = unknown if isinstance(unknown, float) else None
    if manifest.calibration is not None:
        voted = sorted(votes)
        limit = sum(weights[v] * votes[v].probabilities[-1] for v in voted) / sum(weights[v] for v in voted)
        temperature = manifest.calibration.temperatures[len(votes) - 1]
        shares = sharpen_one(shares, limit, temperature, len(manifest.classes))
        if unknown == "auto":
            threshold = manifest.calibration.thresholds[len(votes) - 1]
    is_known = None if threshold is None else score >= threshold
    none_index = manifest.none_index
    if none_index is not None and unknown != "off":
        is_known = winner != none_index and is_known is not False
    return Confidences(shares, score, is_known)


def mean_shares(votes: Mapping[int, Vote], weights: Sequence[float]) -> dict[int, float]:
    """Return the weighted mean of the probabilities that the votes give each class, by the indices of those named.

    Args:
        votes: by variant index, at least one.
        weights: of each variant's vote, each greater than 0.
    """
    total = sum(weights[variant] for variant in sorted(votes))
    means: dict[int, float] = {}
    for variant, vote in votes.items():
        weight = weights[variant]
        for index, probability in zip(vote.classes, vote.probabilities, strict=True):
            means[index] = means.get(index, 0.0) + weight * probability / total
    return means


def sharpen_one(means: Mapping[int, float], limit: float, temperature: float, classes: int) -> dict[int, float]:
    """Return the confidences of one picture, as `sharpen` does for many, but for rounding (1e-12).

    numpy takes ten times as long for a handful of numbers.

    Args:
        means: weighted mean of the votes, 0..1, by class, of at least one class.
        limit: as for `sharpen`.
        temperature: greater than 0.
        classes: how many classes the family knows.
    """
    others = classes - sum(mean > 0 for mean in means.values())
    left_over = max(1.0 - sum(means.values()), 0.0) / max(others, 1)
    each = min(left_over, limit)
    largest = max(*means.values(), each, _TINY)
    exponent = 1 / temperature
    powers = {index: (mean / largest) ** exponent for index, mean in means.items()}
    total = max(sum(powers.values()) + others * (each / largest) ** exponent, _TINY)
    return {index: power / total for index, power in powers.items()}


def known_score(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the known score, 0..1.

    Args:
        means: weighted mean of the votes, shape (.., classes), 0 for classes that no vote names; or these left out.
    """
    return np.asarray(np.clip(means.sum(-1), 0.0, 1.0))


def sharpen(
    means: NDArray[np.float64], limit: NDArray[np.float64] | float, temperature: float, classes: int
) -> NDArray[np.float64]:
    """Return confidences, of the same shape, 0..1: the means to the power of 1 / temperature, brought to a sum of 1.

    The classes that no vote names take part in the sum, each with an equal share of what the votes leave over, but at
    most with `limit`: what is left over beyond that is not theirs, but of none of the classes. The order of the classes
    stays.

    Args:
        means: weighted mean of the votes, shape (.., classes), 0 for classes that no vote names; or these left out.
        limit: weighted mean of the smallest probability in each vote, shape (..): no class that it leaves out has more.
        temperature: greater than 0.
        classes: how many classes the family knows.
    """
    means = np.maximum(means, 0.0)
    others = classes - np.count_nonzero(means, axis=-1, keepdims=True)
    left_over = np.maximum(1.0 - means.sum(-1, keepdims=True), 0.0) / np.maximum(others, 1)
    each = np.minimum(left_over, np.asarray(limit)[..., np.newaxis])
    # The largest power is 1, so that not all of them underflow.
    largest = np.maximum(np.maximum(means.max(-1, keepdims=True), each), _TINY)
    powers = (means / largest) ** (1 / temperature)
    total = powers.sum(-1, keepdims=True) + others * (each / largest) ** (1 / temperature)
    return np.asarray(powers / np.maximum(total, _TINY))
