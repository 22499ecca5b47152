"""Votes and fusion of many pictures at once, with the same results as `protocol.votes` and `fusion.tally` one by one.

Pure. A vote here is what a fusion node has after decoding: probabilities rounded to the steps of the wire.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.protocol.votes import PROBABILITY_STEPS

_SEED = 0
_TOLERANCE = 1e-3  # by which probabilities may leave 0..1, as in vp_mqtt.protocol.votes


@dataclass(frozen=True, eq=False)
class BatchVotes:
    """The votes of all variants on N pictures.

    Attributes:
        order: class indices, most probable first, shape (variants, N, k), intp.
        probabilities: of these classes, as a fusion node decodes them, same shape, float64, 0..1.
        classes: number of the family's classes.
    """

    order: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    classes: int

    @classmethod
    def select(cls, probabilities: NDArray[np.floating], k: int) -> BatchVotes:
        """Return the votes for the k largest probabilities; ties go to the lower class index.

        Args:
            probabilities: shape (variants, N, classes), 0..1, finite.
            k: 1..classes.

        Raises:
            ValueError: a probability is not finite, or not 0 to 1.
        """
        if not np.isfinite(probabilities).all():
            raise ValueError("probabilities must be finite")
        if probabilities.size and (probabilities.min() < -_TOLERANCE or probabilities.max() > 1 + _TOLERANCE):
            raise ValueError("probabilities must be 0 to 1")
        order = np.argsort(-probabilities, axis=2, kind="stable")[..., :k]
        largest = np.take_along_axis(probabilities, order, axis=2).astype(np.float64)
        rounded = np.rint(np.clip(largest, 0.0, 1.0) * PROBABILITY_STEPS) / PROBABILITY_STEPS
        return cls(order, rounded, probabilities.shape[2])

    def shares(self, weights: Sequence[float], k: int) -> NDArray[np.float64]:
        """Return the contribution of each vote to each class, shape (variants, N, classes).

        Args:
            weights: of each variant's vote.
            k: number of classes to use of each vote, most probable first; at most those it holds.
        """
        variants, count, _ = self.order.shape
        result = np.zeros((variants, count, self.classes))
        weighted = np.asarray(weights, dtype=np.float64)[:, np.newaxis, np.newaxis] * self.probabilities[..., :k]
        np.put_along_axis(result, self.order[..., :k], weighted, axis=2)
        return result


def sum_alive(shares: NDArray[np.float64], alive: Sequence[int]) -> NDArray[np.float64]:
    """Return the sums of the votes of the variants alive, shape (N, classes); the largest is the label.

    Args:
        shares: from `BatchVotes.shares`.
        alive: variant indices, ascending, since floating point sums depend on the order.
    """
    sums = np.zeros(shares.shape[1:])
    for variant in alive:
        sums += shares[variant]
    return sums


def mean_votes(
    votes: BatchVotes, weights: Sequence[float], alive: Sequence[int], k: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (weighted means of the votes, shape (N, classes); of the smallest probability in each, shape (N,)).

    Args:
        votes: of all variants.
        weights: of each variant's vote.
        alive: variant indices, ascending, at least one.
        k: number of classes to use of each vote; by default all that it holds.
    """
    used = votes.probabilities.shape[2] if k is None else k
    total = sum(weights[variant] for variant in alive)
    chosen = BatchVotes(votes.order[list(alive)], votes.probabilities[list(alive)], votes.classes)
    own = [weights[variant] / total for variant in alive]
    return sum_alive(chosen.shares(own, used), range(len(own))), np.asarray(own) @ chosen.probabilities[..., used - 1]


def subsets_of(variants: int, size: int, most: int) -> list[tuple[int, ...]]:
    """Return subsets of the variants of this size: all of them, or `most` chosen at random if there are more."""
    if math.comb(variants, size) <= most:
        return list(combinations(range(variants), size))
    rng = np.random.default_rng(_SEED)
    return sorted({tuple(sorted(rng.permutation(variants)[:size].tolist())) for _ in range(most)})
