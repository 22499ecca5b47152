from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vp_mqtt.protocol.votes import select
from vp_mqtt.training.calibration import fit_fusion, fit_temperature, fit_weights, soften, top_k

CLASSES = 5


def guesses(sharpness: float, count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return calibrated probabilities, shape (count, CLASSES), and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, CLASSES)) * sharpness
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(CLASSES, p=row) for row in probabilities], dtype=np.int64)
    return probabilities.astype(np.float32), labels


@pytest.mark.parametrize("distortion", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_probabilities_too_sharp_or_too_soft(distortion: float) -> None:
    probabilities, labels = guesses(2.0, 4000, 1)
    assert fit_temperature(soften(probabilities, distortion), labels) == pytest.approx(1 / distortion, rel=0.1)


def test_a_better_variant_gets_more_weight_and_none_is_silenced() -> None:
    good, labels = guesses(3.0, 3000, 2)
    useless = np.full_like(good, 1 / CLASSES)
    weights = fit_weights(np.stack([good, useless, good]), labels, 3)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] < weights[0]
    assert weights.min() >= 0.01
    assert weights[0] == pytest.approx(weights[2], rel=0.05)


def test_fitted_weights_add_up_to_what_they_should() -> None:
    probabilities, labels = guesses(2.0, 500, 3)
    fit = fit_fusion(np.stack([probabilities, soften(probabilities, 4.0)]), labels, 3, total=1.6)
    assert sum(fit.weights) == pytest.approx(1.6, abs=1e-3)
    assert fit.temperatures[1] == pytest.approx(fit.temperatures[0] / 4, rel=0.05)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, CLASSES))
def test_top_k_keeps_what_a_vote_has(seed: int, k: int) -> None:
    (probabilities,) = guesses(2.0, 1, seed)[0]
    vote = select(probabilities, k, b"1234")
    kept = top_k(probabilities[np.newaxis], k)[0]
    assert set(np.flatnonzero(kept).tolist()) == set(vote.classes)
    np.testing.assert_array_equal(kept[list(vote.classes)], probabilities[list(vote.classes)])
