"""Fits the fusion on pictures the networks were not trained on: a temperature per variant and the vote weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

Probabilities = NDArray[np.float32]

_MIN_PROBABILITY = 1e-7
_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.1, 10.0
_TEMPERATURE_TOLERANCE = 1e-8
"""Of the temperature's logarithm."""
_MAX_ITERATIONS = 500
_CONVERGED = 1e-7
_MIN_WEIGHT = 0.02


@dataclass(frozen=True)
class Fit:
    """Fitted parameters of the fusion.

    Attributes:
        temperatures: per variant, greater than 0; a value below 1 sharpens its probabilities.
        weights: of each variant's vote, greater than 0; their sum is that of the family's original weights.
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]


def soften(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return the softmax of logits divided by a temperature, from probabilities, shape (.., classes)."""
    logits = np.log(np.maximum(probabilities, _MIN_PROBABILITY)) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), dtype=np.float32)


def fit_temperature(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """Return the temperature, 0.1..10, with the highest likelihood (Guo et al., ICML 2017, section 4.2).

    Args:
        probabilities: shape (N, classes).
        labels: shape (N,).
    """
    logits = np.log(np.maximum(probabilities, _MIN_PROBABILITY, dtype=np.float64))

    def negative_log_likelihood(log_temperature: float) -> float:
        of_labels = log_softmax(logits / math.exp(log_temperature), axis=1)[np.arange(len(labels)), labels]
        return -float(np.maximum(of_labels, math.log(_MIN_PROBABILITY)).mean())

    # The loss has a single minimum: it is convex in the inverse temperature.
    found = minimize_scalar(
        negative_log_likelihood,
        method="bounded",
        bounds=(math.log(_MIN_TEMPERATURE), math.log(_MAX_TEMPERATURE)),
        options={"xatol": _TEMPERATURE_TOLERANCE},
    )
    return math.exp(found.x)


def top_k(probabilities: Probabilities, k: int) -> Probabilities:
    """Return the probabilities with all but the k largest of each row set to zero, as in a vote."""
    kept = np.zeros_like(probabilities)
    largest = np.argsort(-probabilities, axis=-1, kind="stable")[..., :k]
    np.put_along_axis(kept, largest, np.take_along_axis(probabilities, largest, -1), -1)
    return kept


def fit_weights(probabilities: Probabilities, labels: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Return the weights, shape (variants,), sum 1, that maximise the likelihood of the labels.

    The fused sums are a mixture of the votes, fitted by expectation-maximisation (Dempster et al. 1977). No weight
    falls below 2 %, so that the vote of a variant that remains alone still counts.

    Args:
        probabilities: shape (variants, N, classes).
        labels: shape (N,).
        k: classes in a vote.
    """
    votes = top_k(probabilities, k)[:, np.arange(len(labels)), labels] + _MIN_PROBABILITY
    weights = np.full(len(votes), 1 / len(votes))
    for _ in range(_MAX_ITERATIONS):
        shares = weights[:, np.newaxis] * votes
        updated = (shares / shares.sum(0)).mean(1)
        done = float(np.abs(updated - weights).max()) < _CONVERGED
        weights = updated
        if done:
            break
    floored = np.maximum(weights, _MIN_WEIGHT)
    return np.asarray(floored / floored.sum())


def fit_fusion(probabilities: Probabilities, labels: NDArray[np.int64], k: int, total: float) -> Fit:
    """Fit the temperatures, then the vote weights.

    Args:
        probabilities: of pictures not used in training, shape (variants, N, classes).
        labels: shape (N,).
        k: classes in a vote.
        total: sum of the fitted weights.
    """
    temperatures = [fit_temperature(one, labels) for one in probabilities]
    softened = np.stack([soften(one, t) for one, t in zip(probabilities, temperatures, strict=True)])
    weights = fit_weights(softened, labels, k) * total
    return Fit(tuple(round(t, 4) for t in temperatures), tuple(round(float(w), 4) for w in weights))
