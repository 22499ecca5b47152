from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support import dense_fusion
from vp_mqtt.protocol.votes import (
    HEADER_BYTES,
    MAX_K,
    MAX_VOTE_BYTES,
    PAIR_BYTES,
    Vote,
    VoteError,
    decode,
    digest_of,
    encode,
    select,
)

DIGEST = b"\xde\xad\xbe\xef"
CLASSES = 10

# Format 1, k = 2, the digest, 12.3 ms, then class 7 with 0.75 and class 258 with 0.25.
LITERAL = b"\x01\x02\xde\xad\xbe\xef\x00\x7b\x00\x07\xbf\xff\x01\x02\x40\x00"

thorough = settings(max_examples=200, deadline=None)


def packed(*pairs: tuple[int, int], version: int = 1, k: int | None = None) -> bytes:
    """Return a vote's bytes, written without the code under test."""
    header = bytes([version, len(pairs) if k is None else k]) + DIGEST + b"\x00\x00"
    return header + b"".join(struct.pack(">HH", *pair) for pair in pairs)


def assert_legal(vote: Vote, classes: int) -> None:
    assert 1 <= vote.k <= MAX_K
    assert len(set(vote.classes)) == vote.k
    assert min(vote.classes) >= 0
    assert max(vote.classes) < classes
    assert list(vote.probabilities) == sorted(vote.probabilities, reverse=True)
    assert min(vote.probabilities) >= 0
    assert max(vote.probabilities) <= 1
    assert sum(vote.probabilities) <= 1 + vote.k / 65_535
    assert len(vote.digest) == 4


@st.composite
def distributions(draw: st.DrawFn, max_classes: int = 300) -> NDArray[np.float64]:
    values = draw(st.lists(st.floats(0, 1), min_size=1, max_size=max_classes))
    probabilities = np.array(values) + draw(st.sampled_from([1e-12, 0.01, 1.0]))
    return np.asarray(probabilities / probabilities.sum())


def test_a_vote_is_encoded_byte_by_byte_as_documented() -> None:
    vote = Vote((7, 258), (0.75, 0.25), DIGEST, compute_ms=12.3)
    assert encode(vote) == LITERAL


def test_a_vote_is_decoded_byte_by_byte_as_documented() -> None:
    vote = decode(LITERAL, classes=1000)
    assert vote.classes == (7, 258)
    assert vote.probabilities == (0xBFFF / 65_535, 0x4000 / 65_535)
    assert vote.digest == DIGEST
    assert vote.compute_ms == pytest.approx(12.3)


@pytest.mark.parametrize("k", [1, 2, 3, 254, 255])
def test_a_vote_of_k_classes_has_8_plus_4_k_bytes(k: int) -> None:
    probabilities = np.full(300, 1 / 300)
    assert len(encode(select(probabilities, k, DIGEST))) == 8 + 4 * k


def test_the_sizes_that_others_rely_on_are_those_of_the_layout() -> None:
    assert (HEADER_BYTES, PAIR_BYTES, MAX_VOTE_BYTES) == (8, 4, 1028)


@thorough
@given(distributions(), st.data())
def test_a_vote_survives_the_wire_within_a_65535th(probabilities: NDArray[np.float64], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, min(probabilities.size, MAX_K)))
    compute_ms = data.draw(st.floats(0, 6553.5))
    sent = select(probabilities, k, DIGEST, compute_ms)
    received = decode(encode(sent), probabilities.size)
    assert received.classes == sent.classes
    assert received.probabilities == pytest.approx(sent.probabilities, rel=0, abs=1 / 65_535)
    assert received.digest == DIGEST
    assert received.compute_ms == pytest.approx(compute_ms, abs=0.051)


@thorough
@given(st.integers(2, 255), st.data())
def test_votes_of_models_that_compute_in_float32_are_never_refused(classes: int, data: st.DataObject) -> None:
    logits = np.array(data.draw(st.lists(st.floats(-30, 30), min_size=classes, max_size=classes)), dtype=np.float32)
    exponentials = np.exp(logits - logits.max())
    assert_legal(decode(encode(select(exponentials / exponentials.sum(), classes, DIGEST)), classes), classes)


@pytest.mark.parametrize(
    ("compute_ms", "decoded"), [(0.0, 0.0), (0.04, 0.0), (0.06, 0.1), (6553.5, 6553.5), (1e9, 6553.5), (-5.0, 0.0)]
)
def test_the_time_travels_in_tenths_of_a_ms_up_to_what_16_bits_hold(compute_ms: float, decoded: float) -> None:
    vote = select(np.array([1.0, 0.0]), 1, DIGEST, compute_ms)
    assert decode(encode(vote), 2).compute_ms == pytest.approx(decoded)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=MAX_VOTE_BYTES + 8), st.integers(1, 65_536))
@example(b"", 10)
@example(packed((0, 0)), 1)
def test_arbitrary_bytes_are_a_legal_vote_or_a_vote_error(data: bytes, classes: int) -> None:
    try:
        vote = decode(data, classes)
    except VoteError:
        return
    assert_legal(vote, classes)
    assert encode(vote) == data


@settings(max_examples=500, deadline=None)
@given(st.integers(1, 6), st.data())
def test_a_damaged_vote_is_a_legal_vote_or_a_vote_error(k: int, data: st.DataObject) -> None:
    good = encode(select(np.linspace(0.3, 0.01, CLASSES) / 2, k, DIGEST))
    place = data.draw(st.integers(0, len(good)))
    inserted = data.draw(st.binary(max_size=4))
    removed = data.draw(st.integers(0, 4))
    damaged = good[:place] + inserted + good[place + removed :]
    try:
        vote = decode(damaged, CLASSES)
    except VoteError:
        return
    assert_legal(vote, CLASSES)
    assert encode(vote) == damaged


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "wrong length"),
        (LITERAL[:7], "wrong length"),
        (packed(), "wrong length"),
        (packed(*[(n, 0) for n in range(256)], k=255), "wrong length"),
        (packed((1, 9), version=0), "unknown format"),
        (packed((1, 9), version=2), "unknown format"),
        (packed((1, 9), k=2), "length does not match k"),
        (packed((1, 9), (2, 8), k=1), "length does not match k"),
        (packed((1, 9), k=0), "length does not match k"),
        (packed((1, 9)) + b"\x00", "length does not match k"),
        (packed((1, 9), (10, 8)), "class index out of range"),
        (packed((65_535, 9)), "class index out of range"),
        (packed((1, 9), (2, 8), (1, 7)), "class occurs twice"),
        (packed((1, 8), (2, 9)), "probabilities not in descending order"),
        (packed((1, 0), (2, 65_535)), "probabilities not in descending order"),
        (packed((1, 40_000), (2, 30_000)), "probabilities add up to more than 1"),
        (packed((1, 65_535), (2, 3)), "probabilities add up to more than 1"),
    ],
)
def test_an_invalid_vote_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(VoteError) as caught:
        decode(data, CLASSES)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    "data",
    [
        packed((9, 65_535)),
        packed((9, 0), (0, 0)),
        packed((1, 9), (0, 9)),
        packed((1, 65_535), (2, 2)),
        packed(*[(n, 6554) for n in range(10)]),
    ],
    ids=["highest class, certain", "no probability at all", "equal ones in any order", "rounding", "rounding of many"],
)
def test_what_is_just_legal_is_accepted(data: bytes) -> None:
    assert encode(decode(data, CLASSES)) == data


def test_the_k_largest_are_selected_in_descending_order() -> None:
    vote = select(np.array([0.1, 0.4, 0.05, 0.3, 0.15]), 3, DIGEST, 1.5)
    assert vote.classes == (1, 3, 4)
    assert vote.probabilities == (0.4, 0.3, 0.15)
    assert (vote.k, vote.digest, vote.compute_ms) == (3, DIGEST, 1.5)


def test_of_equal_ones_the_lower_class_is_selected_first() -> None:
    vote = select(np.array([0.1, 0.2, 0.2, 0.1, 0.2, 0.2]), 3, DIGEST)
    assert vote.classes == (1, 2, 4)


@thorough
@given(st.lists(st.sampled_from([0.0, 0.01, 0.02, 0.03]), min_size=1, max_size=40), st.data())
def test_selection_equals_a_sort_by_probability_then_class(values: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    vote = select(np.array(values, dtype=np.float32), k, DIGEST)
    assert list(vote.classes) == sorted(range(len(values)), key=lambda c: (-values[c], c))[:k]
    assert list(vote.probabilities) == pytest.approx(sorted(values, reverse=True)[:k])


@pytest.mark.parametrize("values", [[3.5, 1.2, 0.1], [0.5, 0.2, -4.0]], ids=["above 1", "below 0"])
def test_selection_refuses_values_that_are_no_probabilities(values: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        select(np.array(values), 3, DIGEST)


@pytest.mark.parametrize("values", [[1.0000001, 0.0], [1.0, -1e-9]])
def test_selection_forgives_rounding(values: list[float]) -> None:
    assert select(np.array(values), 2, DIGEST).probabilities == (1.0, 0.0)


def test_a_vote_of_the_largest_k_is_accepted() -> None:
    data = packed(*[(n, 200) for n in range(MAX_K)])
    assert len(data) == MAX_VOTE_BYTES
    vote = decode(data, 300)
    assert vote.k == MAX_K


@pytest.mark.parametrize(("values", "clipped"), [([-1e-3, 0.5], [0.5, 0.0]), ([1 + 1e-3, 0.0], [1.0, 0.0])])
def test_rounding_errors_of_a_model_are_clipped(values: list[float], clipped: list[float]) -> None:
    assert select(np.array(values), 2, DIGEST).probabilities == tuple(clipped)


@pytest.mark.parametrize(
    ("values", "k", "reason"),
    [
        ([-1.1e-3, 0.5], 1, "probabilities must be 0 to 1"),
        ([1 + 1.1e-3, 0.0], 1, "probabilities must be 0 to 1"),
        ([float("nan"), 0.0], 1, "probabilities must be finite"),
        ([float("inf"), 0.0], 1, "probabilities must be finite"),
        ([0.5, -float("inf")], 1, "probabilities must be finite"),
        ([0.5, 0.5], 0, "k must be 1 to 2, not 0"),
        ([0.5, 0.5], -1, "k must be 1 to 2, not -1"),
        ([], 1, "k must be 1 to 0, not 1"),
        ([0.5, 0.5], 3, "k must be 1 to 2, not 3"),
        ([1 / 300] * 300, 256, "k must be 1 to 255, not 256"),
        ([[0.5, 0.5]], 1, "probabilities must have shape (classes,), not (1, 2)"),
    ],
)
def test_what_cannot_be_selected_from_is_reported(values: list[Any], k: int, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        select(np.array(values), k, DIGEST)


def test_the_digest_is_read_without_decoding() -> None:
    assert digest_of(LITERAL) == DIGEST
    assert digest_of(encode(select(np.array([1.0]), 1, b"wxyz"))) == b"wxyz"
    assert digest_of(b"") == b""


@pytest.mark.parametrize(
    ("classes", "probabilities", "reason"),
    [
        ((1, 2), (0.5,), "^2 classes need 2 probabilities, not 1$"),
        ((), (), "^k must be 1 to 255, not 0$"),
        (tuple(range(256)), (0.0,) * 256, "^k must be 1 to 255, not 256$"),
    ],
)
def test_a_vote_that_cannot_be_is_not_made(
    classes: tuple[int, ...], probabilities: tuple[float, ...], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Vote(classes, probabilities, DIGEST)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 65_535)), min_size=1, max_size=17), st.sampled_from("ab"))
def test_a_vote_is_what_numpy_makes_of_it_or_refused_for_the_same_reason(
    pairs: list[tuple[int, int]], kind: str
) -> None:
    if kind == "b":
        # Most of the others are refused.
        pairs = list(enumerate(sorted((share // len(pairs) for _, share in pairs), reverse=True)))
    data = packed(*pairs)
    try:
        expected: Vote | str = dense_fusion.decode(data, CLASSES)
    except VoteError as error:
        expected = str(error)
    try:
        found: Vote | str = decode(data, CLASSES)
    except VoteError as error:
        found = str(error)
    assert found == expected
