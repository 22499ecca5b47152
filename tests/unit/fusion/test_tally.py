from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.dense_fusion import DenseTally
from tests.support.fusing import fuse
from vp_mqtt.fusion.tally import Tally
from vp_mqtt.protocol.votes import Vote

CLASSES = 5
thorough = settings(max_examples=300, deadline=None)
weights_of_families = st.lists(st.floats(0.01, 8), min_size=1, max_size=6)


def vote(*pairs: tuple[int, float]) -> Vote:
    classes, probabilities = zip(*pairs, strict=True)
    return Vote(classes, probabilities, b"abcd")


@st.composite
def legal_votes(draw: st.DrawFn, classes: int = CLASSES) -> Vote:
    """Draw what `votes.decode` accepts, up to the last bit that it allows for rounding."""
    named = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes, unique=True))
    k = len(named)
    drawn = st.lists(st.integers(0, 65_535), min_size=k, max_size=k)
    raw = draw(drawn | st.just([65_535] + [1] * (k - 1)))
    scale = max(sum(raw), 65_535 + k)
    scaled = sorted((min(value * (65_535 + k) // scale, 65_535) for value in raw), reverse=True)
    return vote(*[(c, value / 65_535) for c, value in zip(named, scaled, strict=True)])


def dense(votes: dict[int, Vote], weights: list[float], classes: int) -> NDArray[np.float64]:
    """The method of arXiv 2210.08376, written out: scatter, weight, add, softmax."""
    total = np.zeros(classes)
    for variant, cast in votes.items():
        scattered = np.zeros(classes)
        for index, probability in zip(cast.classes, cast.probabilities, strict=True):
            scattered[index] = probability
        total += weights[variant] * scattered
    result: NDArray[np.float64] = np.exp(total) / np.exp(total).sum()
    return result


@thorough
@given(weights_of_families, st.data())
def test_fusion_equals_scatter_weight_add_softmax(weights: list[float], data: st.DataObject) -> None:
    variants = st.integers(0, len(weights) - 1)
    votes = data.draw(st.dictionaries(variants, legal_votes()))
    scores = fuse(votes, weights, CLASSES)
    assert scores == pytest.approx(dense(votes, weights, CLASSES))
    assert scores.sum() == pytest.approx(1)
    assert (scores > 0).all()


def test_fusion_of_two_votes_as_worked_out_by_hand() -> None:
    votes = {0: vote((0, 0.6), (1, 0.4)), 2: vote((1, 0.5))}
    # The sums are 0.6, 0.4 + 2 * 0.5 and 0: softmax of (0.6, 1.4, 0).
    assert fuse(votes, [1.0, 5.0, 2.0], 3) == pytest.approx([0.264946, 0.589648, 0.145406], abs=1e-6)


def test_without_votes_all_classes_score_alike() -> None:
    assert fuse({}, [1.0], 4).tolist() == [0.25] * 4


def test_the_order_in_which_votes_arrived_does_not_matter_to_the_last_bit() -> None:
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    votes = {v: vote((3, 0.1 * (v + 1) if v < 2 else 0.3)) for v in range(3)}
    backwards = dict(reversed(votes.items()))
    weights = [64.0] * 3
    assert fuse(votes, weights, 4).tolist() == fuse(backwards, weights, 4).tolist()


@pytest.mark.parametrize(("variant", "class_index"), [(2, 0), (0, 4)])
def test_a_variant_or_class_that_is_not_the_familys_is_an_index_error(variant: int, class_index: int) -> None:
    with pytest.raises(IndexError):
        fuse({variant: vote((class_index, 0.5))}, [1.0, 1.0], 4)


def test_the_winner_is_the_class_with_the_largest_sum_and_the_lower_of_equal_ones() -> None:
    tally = Tally([1.0, 1.0, 1.0], CLASSES)
    tally.add(0, vote((3, 0.5)))
    assert tally.winner() == 3
    tally.add(1, vote((1, 0.5)))
    assert tally.winner() == 1
    tally.add(2, vote((3, 0.1)))
    assert tally.winner() == 3


@thorough
@given(weights_of_families, st.data())
def test_once_decided_no_legal_votes_change_the_winner(weights: list[float], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(weights))))
    arrived = data.draw(st.integers(0, len(weights)))
    tally = Tally(weights, CLASSES)
    for variant in order[:arrived]:
        tally.add(variant, data.draw(legal_votes()))
    outstanding = order[arrived:]
    if not tally.is_decided(outstanding):
        return
    winner = tally.winner()
    # All votes for one other class are the worst case for the winner; draw other votes as well.
    united = data.draw(st.none() | st.integers(0, CLASSES - 1))
    for variant in outstanding:
        tally.add(variant, data.draw(legal_votes()) if united is None else vote((united, 1.0)))
        assert tally.winner() == winner


def test_a_lead_that_exceeds_the_outstanding_weights_decides() -> None:
    tally = Tally([1.0, 1.0, 1.5, 0.4], CLASSES)
    tally.add(0, vote((2, 1.0)))
    tally.add(1, vote((2, 0.95), (0, 0.05)))
    assert tally.is_decided([2])
    assert tally.is_decided([3])
    assert tally.is_decided([2, 3]) is False


def test_only_the_lead_over_the_second_class_counts() -> None:
    tally = Tally([1.0, 1.0, 0.5], CLASSES)
    tally.add(0, vote((2, 0.7), (4, 0.3)))
    tally.add(1, vote((4, 0.6), (2, 0.4)))
    assert tally.winner() == 2
    assert not tally.is_decided([2])


def test_a_lead_that_the_outstanding_can_level_does_not_decide() -> None:
    tally = Tally([1.0, 1.0], 2)
    tally.add(0, vote((1, 1.0)))
    assert not tally.is_decided([1])
    tally.add(1, vote((0, 1.0)))
    assert tally.winner() == 0


def test_a_tie_is_not_decided_but_a_lead_without_outstanding_votes_is() -> None:
    tally = Tally([1.0, 1.0], CLASSES)
    assert not tally.is_decided([])
    tally.add(0, vote((1, 0.1)))
    assert tally.is_decided([])
    tally.add(1, vote((3, 0.1)))
    assert not tally.is_decided([])


def test_a_decision_stands_even_with_weights_as_unlike_as_a_manifest_may_have_them() -> None:
    # Added to a million first, weights this small are lost to rounding; added to each other first, they are not.
    small = 5e-11
    weights = [1e6, 1e6, 2e-9] + [small] * 60
    tally = Tally(weights, 2)
    tally.add(1, vote((1, 1.0)))
    tally.add(2, vote((1, 1.0)))
    outstanding = [0, *range(3, 63)]
    decided = tally.is_decided(outstanding)
    for variant in reversed(outstanding):
        tally.add(variant, vote((0, 1.0)))
    assert tally.winner() == 0
    assert not decided


def test_scores_of_weights_as_large_as_a_manifest_may_have_them_are_finite() -> None:
    tally = Tally([1e6, 1e6], CLASSES)
    tally.add(0, vote((1, 1.0)))
    tally.add(1, vote((1, 1.0)))
    assert [tally.score(index) for index in range(CLASSES)] == [0.0, 1.0, 0.0, 0.0, 0.0]


@thorough
@given(weights_of_families, st.data())
def test_the_tally_agrees_with_sums_over_all_classes(weights: list[float], data: st.DataObject) -> None:
    sparse, whole = Tally(weights, CLASSES), DenseTally(weights, CLASSES)
    order = data.draw(st.permutations(range(len(weights))))
    for count, variant in enumerate(order):
        cast = data.draw(legal_votes())
        sparse.add(variant, cast)
        whole.add(variant, cast)
        assert sparse.winner() == whole.winner()
        assert sparse.is_decided(order[count + 1 :]) == whole.is_decided(order[count + 1 :])
        scores = [sparse.score(index) for index in range(CLASSES)]
        assert scores == pytest.approx(whole.scores().tolist(), rel=1e-12, abs=0)
