from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.demo.intervals import difference, paired_difference, wilson

COUNTS = st.integers(1, 5000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


def test_the_intervals_are_those_of_the_literature() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I; and "Interval estimation for
    # the difference between independent proportions", table II.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert difference(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert difference(10, 10, 0, 20) == pytest.approx((0.6791, 1), abs=1e-4)


@given(COUNTS, COUNTS)
def test_they_hold_the_share_and_change_sides_with_it(one: tuple[int, int], other: tuple[int, int]) -> None:
    low, high = wilson(*one)
    assert 0 <= low <= one[0] / one[1] + 1e-12
    assert one[0] / one[1] - 1e-12 <= high <= 1
    low, high = difference(*one, *other)
    assert -1 - 1e-12 <= low <= high <= 1 + 1e-12
    assert difference(*other, *one) == pytest.approx((-high, -low))


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_that_of_pairs_changes_sides_with_them(first: int, second: int, both: int) -> None:
    of = first + second + both + 1
    low, high = paired_difference(first, second, of)
    assert -1 <= low <= high <= 1
    assert paired_difference(second, first, of) == pytest.approx((-high, -low))


def test_that_of_pairs_covers_the_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(1000, [0.02, 0.015, 0.965], size=2000)
    found = [paired_difference(int(first), int(second), 1000) for first, second, _ in drawn]
    assert 0.94 <= np.mean([low <= 0.005 <= high for low, high in found]) <= 0.97
