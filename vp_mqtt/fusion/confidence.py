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
    indices = sorted(shares)
    means = np.array([shares[index] for index in indices])
    voted = sorted(votes)
    limit = sum(weights[v] * float(votes[v].probabilities[-1]) for v in voted) / sum(weights[v] for v in voted)
    score = float(known_score(means))
    threshold = unknown if isinstance(unknown, float) else None
    sure = means
    if manifest.calibration is not None:
        temperature = manifest.calibration.temperatures[len(votes) - 1]
        sure = sharpen(means, limit, temperature, len(manifest.classes))
        if unknown == "auto":
            threshold = manifest.calibration.thresholds[len(votes) - 1]
    is_known = None if threshold is None else score >= threshold
    if manifest.none_index is not None and unknown != "off":
        is_known = winner != manifest.none_index and is_known is not False
    return Confidences(dict(zip(indices, sure.tolist(), strict=True)), score, is_known)


def mean_shares(votes: Mapping[int, Vote], weights: Sequence[float]) -> dict[int, float]:
    """Return the weighted mean of the probabilities that the votes give each class, by the indices of those named.

    Args:
        votes: by variant index, at least one.
        weights: of each variant's vote, each greater than 0.
    """
    total = sum(weights[variant] for variant in sorted(votes))
    means: dict[int, float] = {}
    for variant, vote in votes.items():
        for index, probability in zip(vote.classes.tolist(), vote.probabilities.tolist(), strict=True):
            means[index] = means.get(index, 0.0) + weights[variant] * probability / total
    return means


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
    largest = np.maximum(np.maximum(means.max(-1, keepdims=True), each), np.finfo(np.float64).tiny)
    powers = (means / largest) ** (1 / temperature)
    total = powers.sum(-1, keepdims=True) + others * (each / largest) ** (1 / temperature)
    return np.asarray(powers / np.maximum(total, np.finfo(np.float64).tiny))
