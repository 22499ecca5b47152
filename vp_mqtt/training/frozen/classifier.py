"""Linear classifiers on features, by multinomial logistic regression. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

_MIN_DEVIATION = 1e-3
_ITERATIONS = 100

Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Classifier:
    """A linear classifier.

    Attributes:
        weights: shape (classes, features), float32.
        bias: shape (classes,), float32.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def probabilities(self, features: Features) -> NDArray[np.float32]:
        """Return the probabilities of pictures, shape (N, classes), by their features, shape (N, features)."""
        return np.asarray(np.exp(log_softmax(features @ self.weights.T + self.bias, axis=1)), dtype=np.float32)


def fit_classifier(features: Features, labels: NDArray[np.int64], classes: int, penalty: float) -> Classifier:
    """Fit a classifier by the likelihood of the labels and a squared penalty on its weights.

    Args:
        features: of pictures, shape (N, features).
        labels: class indices, shape (N,).
        classes: number of classes.
        penalty: on the squares of the weights of standardised features, greater than 0: the more, the smoother.
    """
    mean, spread = features.mean(0), features.std(0) + _MIN_DEVIATION
    scale = spread * np.sqrt(np.float32(features.shape[1]))
    inputs = (features - mean) / scale
    # Weights of fewest squares lie in the span of the pictures: with few of them, that is far smaller.
    basis = np.linalg.qr(inputs.T)[0] if len(inputs) < inputs.shape[1] else None
    found, bias = _minimise(inputs if basis is None else inputs @ basis, labels, classes, penalty)
    weights = (found if basis is None else basis @ found).T / scale
    return Classifier(weights.astype(np.float32), (bias - weights @ mean).astype(np.float32))


def _minimise(
    inputs: Features, labels: NDArray[np.int64], classes: int, penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (weights, shape (inputs, classes); bias, shape (classes,))."""
    count, width = inputs.shape
    truth = np.eye(classes, dtype=np.float32)[labels]

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = values.reshape(width + 1, classes).astype(np.float32)
        weights, bias = table[:-1], table[-1]
        logs = log_softmax(inputs @ weights + bias, axis=1)
        wrong = (np.exp(logs) - truth) / count
        slope = np.concatenate([inputs.T @ wrong + penalty * weights, wrong.sum(0, keepdims=True)])
        height = -float((logs * truth).sum()) / count + penalty / 2 * float((weights**2).sum())
        return height, slope.ravel().astype(np.float64)

    start = np.zeros((width + 1) * classes)
    solved = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
    table = solved.reshape(width + 1, classes)
    return table[:-1], table[-1]
