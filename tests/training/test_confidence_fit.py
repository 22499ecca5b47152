"""Temperatures and thresholds that are fitted on few pictures and on many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.fusing import manifest as family
from vp_mqtt.bundle.manifest import NONE_CLASS, Manifest
from vp_mqtt.fusion.confidence import confidences
from vp_mqtt.protocol.votes import decode, encode, select
from vp_mqtt.training.confidence_fit import fit_calibration, fit_threshold, lognormal_bound, quantile_bound
from vp_mqtt.training.evaluation.evaluate import evaluate_probabilities
from vp_mqtt.training.evaluation.unknown import evaluate_unknown

CLASSES = 4
FAMILY = family((1.0, 0.5, 2.0), CLASSES).model_copy(update={"k": 2})


def predictions(count: int, *, seed: int, sure: float = 2.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return probabilities of three variants, and labels; the variants are about as sure as they are right."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    logits = rng.normal(0, 1, (3, count, CLASSES)) + rng.normal(0, 0.7, (count, CLASSES))
    logits[:, np.arange(count), labels] += sure
    powers = np.exp(logits)
    return (powers / powers.sum(2, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("sure", [0.5, 2.0, 4.0])
def test_the_confidence_of_further_pictures_is_right(sure: float) -> None:
    fitted = fit_calibration(FAMILY, *predictions(800, seed=1, sure=sure))
    probabilities, labels = predictions(4000, seed=2, sure=sure)
    calibrated = FAMILY.model_copy(update={"calibration": fitted})
    before, after = (evaluate_probabilities(one, probabilities, labels, k=2, by_k=[]) for one in (FAMILY, calibrated))
    assert after.accuracy == before.accuracy
    assert after.ece.fused < 0.03
    assert after.ece.fused < before.ece.fused


def test_thresholds_keep_the_share_of_further_pictures_with_any_number_of_votes() -> None:
    fitted = fit_calibration(FAMILY, *predictions(2000, seed=1), kept=0.9)
    assert (len(fitted.temperatures), len(fitted.thresholds), fitted.kept, fitted.pictures) == (3, 3, 0.9, 2000)
    probabilities, labels = predictions(4000, seed=2)
    calibrated = FAMILY.model_copy(update={"calibration": fitted})
    found = evaluate_unknown(calibrated, probabilities, labels, probabilities[:, :5], k=2)
    assert found.by_bundle is not None
    assert found.by_bundle.kept == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_few_pictures_are_enough(count: int) -> None:
    fitted = fit_calibration(FAMILY, *predictions(count, seed=3), predictions(40, seed=4)[0])
    assert all(0.1 <= one <= 1.5 for one in fitted.temperatures)
    kept = []
    for seed in range(20):
        few = fit_calibration(FAMILY, *predictions(12, seed=seed), predictions(40, seed=seed + 50)[0])
        further, labels = predictions(500, seed=seed + 100)
        calibrated = FAMILY.model_copy(update={"calibration": few})
        found = evaluate_unknown(calibrated, further, labels, further[:, :1], k=2).by_bundle
        kept.append(found.kept if found is not None else 0)
    assert np.mean(kept) > 0.9


def test_pictures_of_none_are_not_known_ones() -> None:
    classes = ("a", NONE_CLASS, "b", "c")
    probabilities, labels = predictions(400, seed=1)
    with_none = Manifest.model_validate({**FAMILY.model_dump(), "classes": classes})
    # Pictures of none have a score that would pull the threshold down.
    probabilities[:, labels == 1] *= 0.1
    assert fit_calibration(with_none, probabilities, labels).thresholds[-1] > 0.5
    assert fit_calibration(with_none, probabilities, labels).pictures == 300
    assert fit_calibration(FAMILY, probabilities, labels).thresholds[-1] < 0.2


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.floats(0.5, 0.99))
def test_thresholds_are_scores(scores: list[float], kept: float) -> None:
    values = np.array(scores)
    assert 0 <= lognormal_bound(values, values[:0], kept) <= 1
    assert 0 <= lognormal_bound(values, values[::2], kept) <= 1
    bound = quantile_bound(values, kept)
    assert bound == 0 or bound in scores
    assert (values >= bound).mean() >= kept
    assert 0 <= fit_threshold(values, None, kept) <= 1


def test_a_dozen_pictures_with_an_odd_one_are_supported_by_those_trained_on() -> None:
    rng = np.random.default_rng(0)
    scores, trained_on = (1 - np.exp(rng.normal(-2, 0.5, count)) for count in (12, 120))
    scores[0] = 0.1
    alone, supported = (lognormal_bound(scores, others, 0.95) for others in (scores[:0], trained_on))
    assert 0.1 < alone < 0.5
    assert 0.55 < supported < 0.8
    assert lognormal_bound(scores[:1], trained_on[:0], 0.95) == 0


def test_pictures_that_a_fine_tuned_family_is_far_surer_of_do_not_raise_the_bound() -> None:
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(50):
        trained_on = 1 - np.exp(rng.normal(-5, 0.2, 180))
        scores, further = (1 - np.exp(rng.normal(-2.5, 0.5, count)) for count in (20, 1000))
        kept.append((further >= lognormal_bound(scores, trained_on, 0.95)).mean())
    assert 0.93 < np.mean(kept) < 0.98
    assert np.quantile(kept, 0.1) > 0.87


def test_an_evaluation_has_the_confidence_and_the_score_that_the_fusion_node_publishes() -> None:
    probabilities, labels = predictions(30, seed=5)
    calibrated = FAMILY.model_copy(update={"calibration": fit_calibration(FAMILY, probabilities, labels)})
    foreign = predictions(1, seed=6, sure=0)[0]
    for index in range(30):
        votes = {
            v: decode(encode(select(probabilities[v, index], 2, calibrated.short_digest)), CLASSES) for v in range(3)
        }
        one = probabilities[:, index : index + 1]
        winner = int(evaluate_probabilities(calibrated, one, np.array([0]), k=2, by_k=[]).confusion.argmax())
        published = confidences(calibrated, votes, winner)
        evaluated = evaluate_probabilities(calibrated, one, np.array([(winner + 1) % CLASSES]), k=2, by_k=[])
        assert evaluated.ece.fused == pytest.approx(published.by_class[winner])
        told = evaluate_unknown(calibrated, one, np.array([winner]), foreign, k=2).by_bundle
        assert told is not None
        assert (told.kept == 1) is published.is_known


def test_foreign_pictures_are_told_by_their_score() -> None:
    probabilities, labels = predictions(200, seed=1)
    found = evaluate_unknown(FAMILY, probabilities, labels, probabilities[:, :100] * np.float32(0.01), k=2)
    assert (found.images, found.auroc.fused, found.accepted.fused, found.by_bundle) == (100, 1.0, 0.0, None)
    same = evaluate_unknown(FAMILY, probabilities, labels, probabilities, k=2)
    assert same.auroc.fused == pytest.approx(0.5)
    assert same.accepted.fused == pytest.approx(0.95, abs=0.01)
    assert same.accuracy.variants[0] > 0.5
