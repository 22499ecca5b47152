from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.fusing import fuse
from vp_mqtt.fusion.tally import Tally
from vp_mqtt.protocol.votes import decode, encode, select
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, sum_alive

WEIGHTS = (0.375, 0.5, 0.625, 1.0)


@st.composite
def families(draw: st.DrawFn) -> tuple[NDArray[np.float32], list[float], int]:
    """Draw (probabilities of 1 to 4 variants on 1 to 4 pictures, weights, k), ties and certainties among them."""
    variants, pictures, classes = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = rng.normal(size=(variants, pictures, classes)) * draw(st.sampled_from([0.0, 1.0, 5.0, 50.0]))
    if draw(st.booleans()):
        logits = np.rint(logits)
    exponentials = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities = (exponentials / exponentials.sum(axis=2, keepdims=True)).astype(np.float32)
    weights = draw(st.lists(st.floats(0.01, 4), min_size=variants, max_size=variants))
    return probabilities, weights, draw(st.integers(1, classes))


@given(families())
def test_many_at_once_are_what_the_fusion_node_makes_of_each(
    family: tuple[NDArray[np.float32], list[float], int],
) -> None:
    probabilities, weights, k = family
    variants, pictures, classes = probabilities.shape
    batch = BatchVotes.select(probabilities, classes)
    shares = batch.shares(weights, k)
    for size in range(1, variants + 1):
        for alive in combinations(range(variants), size):
            sums = sum_alive(shares, alive)
            for picture in range(pictures):
                votes = {v: decode(encode(select(probabilities[v, picture], k, b"1234")), classes) for v in alive}
                tally = Tally(weights, classes)
                for variant in alive:
                    tally.add(variant, votes[variant])
                assert int(sums[picture].argmax()) == tally.winner()
                powers = np.exp(sums[picture] - sums[picture].max())
                # They add in another order: equal but for rounding.
                np.testing.assert_allclose(powers / powers.sum(), fuse(votes, weights, classes), rtol=1e-12, atol=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    probabilities = np.full((1, 2, 3), 1 / 3)
    probabilities[0, 1, 2] = bad
    with pytest.raises(ValueError, match="probabilities must be"):
        BatchVotes.select(probabilities, 2)
