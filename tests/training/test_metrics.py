from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.training.evaluation.metrics import accuracy, auroc, calibration_error, confusion, mean_per_class

SCORES = st.lists(st.integers(0, 5), min_size=1, max_size=10)


def test_mean_per_class_counts_small_classes_like_large_ones() -> None:
    labels = np.array([0] * 8 + [1] * 2)
    predicted = np.array([0] * 8 + [0, 1])
    assert accuracy(predicted, labels) == 0.9
    assert mean_per_class(predicted, labels) == 0.75
    # Classes without pictures do not count.
    assert mean_per_class(predicted[:8], labels[:8]) == 1.0


def test_calibration_error_by_hand() -> None:
    # Bin (0.6, 0.667]: two labels of confidence 0.65, one right; bin (0.867, 0.933]: two of 0.9, both right.
    confidences = np.array([0.65, 0.65, 0.9, 0.9])
    is_right = np.array([True, False, True, True])
    expected = 0.5 * abs(0.5 - 0.65) + 0.5 * abs(1 - 0.9)
    assert calibration_error(confidences, is_right) == pytest.approx(expected)


def test_bins_are_closed_above() -> None:
    # 1/3 is the upper end of a bin with 3 bins: it lies with 0.2, not with 0.5, so that the two gaps make up for it.
    assert calibration_error(np.array([1 / 3, 0.2]), np.array([True, False]), bins=3) == pytest.approx(
        abs(0.5 - (1 / 3 + 0.2) / 2)
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_error_is_a_weighted_mean_over_the_bins(rows: list[tuple[float, bool]]) -> None:
    confidences, is_right = np.array([c for c, _ in rows]), np.array([r for _, r in rows])
    expected, found = 0.0, 0
    for number in range(15):
        inside = (confidences > number / 15) & (confidences <= (number + 1) / 15)
        if number == 0:
            inside |= confidences == 0
        # ceil(confidence * 15) and the bounds may round apart at the very edge of a bin.
        if inside.any():
            found += int(inside.sum())
            expected += inside.mean() * abs(is_right[inside].mean() - confidences[inside].mean())
    error = calibration_error(confidences, is_right)
    assert 0 <= error <= 1
    if not np.isclose(confidences * 15, np.rint(confidences * 15), atol=1e-9).any():
        assert found == len(rows)
        assert error == pytest.approx(expected, abs=1e-9)


def test_confusion_has_the_truth_in_rows() -> None:
    assert confusion(np.array([1, 1, 2]), np.array([0, 1, 2]), 3).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]


@given(SCORES, SCORES)
def test_auroc_is_the_share_of_pairs_in_the_right_order(positive: list[int], negative: list[int]) -> None:
    pairs = [(one > other) + (one == other) / 2 for one in positive for other in negative]
    assert auroc(np.array(positive, dtype=float), np.array(negative, dtype=float)) == pytest.approx(np.mean(pairs))
