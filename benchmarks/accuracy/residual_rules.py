"""Fusion rules for many pictures at once: what to do with the probability that a vote leaves out.

A vote holds the k largest probabilities of a variant. The residual, one minus their sum, belongs to the other classes.
arXiv 2210.08376 leaves it out. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.training.evaluation.batch_fusion import BatchVotes

Shares = NDArray[np.float64]

_LEAST = 1e-6  # keeps one variant from vetoing a class
_TINY = 1e-12


def _scattered(votes: BatchVotes, values: Shares, rest: Shares) -> Shares:
    """Return values by class, shape (variants, N, classes), and `rest`, shape (variants, N), for all other classes."""
    variants, count, _ = votes.order.shape
    result = np.broadcast_to(rest[..., np.newaxis], (variants, count, votes.classes)).copy()
    np.put_along_axis(result, votes.order, values, axis=2)
    return result


def _residual(votes: BatchVotes) -> Shares:
    return np.asarray(np.clip(1 - votes.probabilities.sum(axis=2), 0, 1))


def _evenly(votes: BatchVotes) -> Shares:
    """Return the residual per class that is not in the vote, shape (variants, N)."""
    return np.asarray(_residual(votes) / max(1, votes.classes - votes.order.shape[2]))


def left_out(votes: BatchVotes) -> Shares:
    """Return the probabilities, and zero for all other classes: the paper's rule."""
    return _scattered(votes, votes.probabilities, np.zeros(votes.order.shape[:2]))


def spread(votes: BatchVotes) -> Shares:
    """Return the probabilities, and an equal part of the residual for every other class."""
    return _scattered(votes, votes.probabilities, _evenly(votes))


def normalised(votes: BatchVotes) -> Shares:
    """Return the probabilities scaled so that they add up to one: the residual goes to the classes in the vote."""
    total = np.maximum(votes.probabilities.sum(axis=2, keepdims=True), _TINY)
    return _scattered(votes, votes.probabilities / total, np.zeros(votes.order.shape[:2]))


def held_back(votes: BatchVotes) -> Shares:
    """Return the probabilities times their sum: votes that leave out more count less."""
    total = votes.probabilities.sum(axis=2, keepdims=True)
    return _scattered(votes, votes.probabilities * total, np.zeros(votes.order.shape[:2]))


def multiplied(votes: BatchVotes) -> Shares:
    """Return logarithms, the residual spread evenly: their sum is a product of the variants' probabilities."""
    return np.log(np.maximum(spread(votes), _LEAST))


RULES: dict[str, Callable[[BatchVotes], Shares]] = {
    "left out (paper)": left_out,
    "spread evenly": spread,
    "votes scaled to one": normalised,
    "vote held back by it": held_back,
    "spread, multiplied": multiplied,
}
"""By what happens to the residual: the scores that votes of weight 1 add, shape (variants, N, classes)."""


def accuracy(shares: Shares, weights: Sequence[float], labels: NDArray[np.int64], alive: Sequence[int]) -> float:
    """Return the share of right labels, 0..1.

    Args:
        shares: scores by a rule, shape (variants, N, classes).
        weights: weight of each variant's vote.
        labels: true classes, shape (N,).
        alive: variant indices, at least one.
    """
    sums = np.einsum("v,vnc->nc", np.asarray(weights)[list(alive)], shares[list(alive)])
    return float((sums.argmax(axis=1) == labels).mean())
