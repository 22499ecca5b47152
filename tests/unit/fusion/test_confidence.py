"""How sure the votes are, and when a frame is unknown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from tests.support.dense_fusion import dense_confidences
from tests.support.fusing import manifest as family
from vp_mqtt.bundle.manifest import NONE_CLASS, Calibration, Manifest
from vp_mqtt.fusion.confidence import Unknown, confidences, known_score, sharpen
from vp_mqtt.protocol.votes import Vote, select

CLASSES = 5
WEIGHTS = (1.0, 3.0)
FITTED = Calibration(temperatures=(1.0, 0.5), thresholds=(0.5, 0.9), kept=0.95, pictures=100)
PLAIN = family(WEIGHTS, CLASSES)
CALIBRATED = PLAIN.model_copy(update={"calibration": FITTED})
WITH_NONE = PLAIN.model_copy(update={"classes": ("a", "b", NONE_CLASS, "c", "d")})


@st.composite
def means(draw: st.DrawFn) -> NDArray[np.float64]:
    """Draw weighted means of votes: some classes are not named, the sum is at most 1."""
    drawn = draw(arrays.arrays(np.float64, CLASSES, elements=st.floats(0, 1, width=16)))
    return np.asarray(drawn / max(1.0, drawn.sum()))


def vote(*probabilities: float) -> Vote:
    padded = np.array([*probabilities, *[0.0] * (CLASSES - len(probabilities))])
    return select(padded, max(1, int(np.count_nonzero(padded))), b"\0\0\0\0")


LIMITS = st.floats(0, 1, width=16)


@settings(deadline=None)
@given(means(), LIMITS, st.floats(0.05, 20))
def test_confidences_are_shares_in_the_order_of_the_means(
    shares: NDArray[np.float64], limit: float, temperature: float
) -> None:
    sure = sharpen(shares, limit, temperature, CLASSES)
    assert ((sure >= 0) & (sure <= 1)).all()
    assert sure.sum() <= 1 + 1e-9
    order = np.argsort(shares)
    assert (np.diff(sure[order]) >= -1e-12).all()
    assert (sure[shares == 0] == 0).all()


@settings(deadline=None)
@given(means())
def test_a_temperature_of_one_changes_nothing_if_all_is_of_the_classes(shares: NDArray[np.float64]) -> None:
    named = int(np.count_nonzero(shares))
    whole = shares if named < CLASSES else shares / shares.sum()
    assert sharpen(whole, 1.0, 1.0, CLASSES) == pytest.approx(whole, abs=1e-12)


@settings(deadline=None)
@given(means(), LIMITS, st.floats(0.05, 10), st.floats(1.01, 2))
def test_the_likeliest_class_is_the_surer_the_lower_the_temperature(
    shares: NDArray[np.float64], limit: float, temperature: float, factor: float
) -> None:
    if shares.max() >= limit:
        colder, warmer = (sharpen(shares, limit, t, CLASSES).max() for t in (temperature, temperature * factor))
        assert colder >= warmer - 1e-9


@settings(deadline=None)
@given(means(), LIMITS, st.floats(0.05, 20))
def test_leaving_out_the_classes_that_no_vote_names_gives_the_same(
    shares: NDArray[np.float64], limit: float, temperature: float
) -> None:
    named = shares[shares > 0]
    if named.size:
        expected = sharpen(shares, limit, temperature, CLASSES)[shares > 0]
        assert sharpen(named, limit, temperature, CLASSES) == pytest.approx(expected)
        assert known_score(named) == pytest.approx(known_score(shares))


@settings(deadline=None)
@given(means(), st.floats(0.05, 20), st.floats(0.1, 1))
def test_what_models_take_back_from_all_classes_alike_leaves_the_confidences(
    shares: NDArray[np.float64], temperature: float, kept: float
) -> None:
    # All classes are named, so that what is left over is of none of them.
    every = (shares + 0.1) / (shares + 0.1).sum()
    taken = sharpen(every * kept, kept * float(every.min()), temperature, CLASSES)
    assert taken == pytest.approx(sharpen(every, float(every.min()), temperature, CLASSES))


def test_the_known_score_is_what_the_votes_leave_on_the_classes_they_name() -> None:
    found = confidences(PLAIN, {0: vote(0.5, 0.3), 1: vote(0.1, 0.6)}, 1)
    assert found.known_score == pytest.approx((1 * 0.8 + 3 * 0.7) / 4)
    assert found.by_class == pytest.approx({0: 0.2, 1: 0.525})
    assert found.is_known is None


def test_temperature_and_threshold_are_those_of_the_number_of_votes() -> None:
    one = confidences(CALIBRATED, {1: vote(0.6, 0.2)}, 0)
    assert one.by_class[0] == pytest.approx(0.6)
    assert one.by_class[1] == pytest.approx(0.2)
    assert one.is_known is True
    two = confidences(CALIBRATED, {0: vote(0.6, 0.2), 1: vote(0.6, 0.2)}, 0)
    assert two.by_class[0] == pytest.approx(0.36 / (0.36 + 0.04 + 3 * (0.2 / 3) ** 2))
    assert two.is_known is False


@pytest.mark.parametrize(
    ("manifest", "unknown", "is_known"),
    [
        (PLAIN, "auto", None),
        (PLAIN, "off", None),
        (PLAIN, 0.8, True),
        (PLAIN, 0.81, False),
        (CALIBRATED, "auto", False),
        (CALIBRATED, "off", None),
        (CALIBRATED, 0.5, True),
        (CALIBRATED, 0.0, True),
        (WITH_NONE, "auto", True),
        (WITH_NONE, 0.9, False),
        (WITH_NONE, "off", None),
    ],
)
def test_a_site_overrides_the_threshold(manifest: Manifest, unknown: Unknown, *, is_known: bool | None) -> None:
    assert confidences(manifest, {0: vote(0.6, 0.2), 1: vote(0.6, 0.2)}, 0, unknown=unknown).is_known is is_known


@pytest.mark.parametrize("unknown", ["auto", 0.0])
def test_a_frame_on_which_none_wins_is_unknown(unknown: Unknown) -> None:
    assert confidences(WITH_NONE, {0: vote(0.1, 0.1, 0.8)}, 2, unknown=unknown).is_known is False


def test_without_votes_nothing_is_decided() -> None:
    found = confidences(CALIBRATED, {}, None)
    assert (found.by_class, found.known_score, found.is_known) == ({}, 0.0, None)


@settings(max_examples=300, deadline=None)
@given(st.lists(means(), min_size=1, max_size=2), st.floats(0.05, 20))
def test_the_confidences_of_one_picture_agree_with_those_of_whole_vectors(
    shares: list[NDArray[np.float64]], temperature: float
) -> None:
    calibration = FITTED.model_copy(update={"temperatures": (temperature, temperature)})
    calibrated = PLAIN.model_copy(update={"calibration": calibration})
    votes = {v: select(one, 1 + v, b"\0\0\0\0") for v, one in enumerate(shares)}
    found, expected = confidences(calibrated, votes, 0), dense_confidences(calibrated, votes)
    assert found.by_class == pytest.approx(expected.by_class, rel=1e-12, abs=1e-12)
    assert found.known_score == pytest.approx(expected.known_score, rel=1e-12)
