"""Fusion fitted on pictures that were not learned from: a temperature per variant, and weights of the votes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]

_LEAST = 1e-7
_GOLDEN = (math.sqrt(5) - 1) / 2
_HALVINGS = 40
_ROUNDS = 500
_CONVERGED = 1e-7
_LEAST_WEIGHT = 0.02


@dataclass(frozen=True)
class Fit:
    """What was fitted.

    Attributes:
        temperatures: of each variant, greater than 0; below 1 its probabilities become sharper.
        weights: of each variant's vote, greater than 0; they add up to what the paper's weights add up to.
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]


def soften(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return the softmax of logits divided by a temperature, from probabilities, shape (.., classes)."""
    logits = np.log(np.maximum(probabilities, _LEAST)) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), dtype=np.float32)


def fit_temperature(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """Return the temperature, 0.1..10, with the highest likelihood (Guo et al., ICML 2017, section 4.2).

    Args:
        probabilities: shape (N, classes).
        labels: shape (N,).
    """

    def loss(log_temperature: float) -> float:
        right = soften(probabilities, math.exp(log_temperature))[np.arange(len(labels)), labels]
        return -float(np.log(np.maximum(right, _LEAST)).mean())

    # The loss has one minimum in the inverse temperature: golden-section search.
    low, high = math.log(0.1), math.log(10.0)
    for _ in range(_HALVINGS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def top_k(probabilities: Probabilities, k: int) -> Probabilities:
    """Return the probabilities with all but the k largest of each row set to zero, as a vote has them."""
    kept = np.zeros_like(probabilities)
    largest = np.argsort(-probabilities, axis=-1, kind="stable")[..., :k]
    np.put_along_axis(kept, largest, np.take_along_axis(probabilities, largest, -1), -1)
    return kept


def fit_weights(probabilities: Probabilities, labels: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Return the weights, shape (variants,), that add up to 1, under which the labels are most likely.

    The fused sums are a mixture of the votes: expectation and maximisation in turn (Dempster et al. 1977). No weight
    falls below 2 %, so that a board that is left alone is still heard.

    Args:
        probabilities: shape (variants, N, classes).
        labels: shape (N,).
        k: classes in a vote.
    """
    votes = top_k(probabilities, k)[:, np.arange(len(labels)), labels] + _LEAST
    weights = np.full(len(votes), 1 / len(votes))
    for _ in range(_ROUNDS):
        shares = weights[:, np.newaxis] * votes
        updated = (shares / shares.sum(0)).mean(1)
        done = float(np.abs(updated - weights).max()) < _CONVERGED
        weights = updated
        if done:
            break
    floored = np.maximum(weights, _LEAST_WEIGHT)
    return np.asarray(floored / floored.sum())


def fit_fusion(probabilities: Probabilities, labels: NDArray[np.int64], k: int, total: float) -> Fit:
    """Fit temperatures, then weights that add up to `total`.

    Args:
        probabilities: of pictures that were not learned from, shape (variants, N, classes).
        labels: shape (N,).
        k: classes in a vote.
        total: what the weights add up to.
    """
    temperatures = [fit_temperature(one, labels) for one in probabilities]
    softened = np.stack([soften(one, t) for one, t in zip(probabilities, temperatures, strict=True)])
    weights = fit_weights(softened, labels, k) * total
    return Fit(tuple(round(t, 4) for t in temperatures), tuple(round(float(w), 4) for w in weights))
