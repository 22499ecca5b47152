from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.protocol.chunks import HEADER_BYTES, Assembly, ChunkError, split

FILES = st.binary(min_size=1, max_size=2000)
SIZES = st.integers(1, 300)


@given(FILES, SIZES, st.randoms(use_true_random=False), st.integers(0, 5))
def test_chunks_in_any_order_and_some_twice_make_the_file(
    data: bytes, size: int, shuffler: random.Random, twice: int
) -> None:
    chunks = list(enumerate(split(data, size)))
    order = chunks + chunks[:twice]
    shuffler.shuffle(order)
    assembly = Assembly(max_bytes=2000)
    seen: set[int] = set()
    for index, chunk in order:
        seen.add(index)
        assert assembly.add(index, chunk) == (len(seen) == len(chunks))
    assert assembly.data == data
    assert max(len(chunk) for _, chunk in chunks) <= size + HEADER_BYTES


@given(FILES, SIZES, SIZES)
def test_a_file_published_again_in_other_chunks_wins_over_what_is_left_of_the_first(
    data: bytes, first: int, second: int
) -> None:
    assembly = Assembly(max_bytes=2000)
    for index, chunk in list(enumerate(split(data, first)))[:-1]:
        assembly.add(index, chunk)
    for index, chunk in enumerate(split(data[::-1], second)):
        assembly.add(index, chunk)
    if first != second:
        assert assembly.is_complete
        assert assembly.data == data[::-1]


@given(st.integers(-5, 20_000), st.binary(max_size=64))
def test_garbage_is_refused_or_taken_but_never_breaks(index: int, chunk: bytes) -> None:
    assembly = Assembly(max_bytes=64)
    try:
        assembly.add(index, chunk)
    except ChunkError:
        assert not assembly.is_complete


def header(version: int = 1, zero: int = 0, count: int = 2, total: int = 10, size: int = 5) -> bytes:
    return struct.pack(">BBHII", version, zero, count, total, size)


@pytest.mark.parametrize(
    ("index", "chunk", "reason"),
    [
        (0, b"", "too short"),
        (0, header(version=2) + b"12345", "unknown format"),
        (0, header(zero=1) + b"12345", "unknown format"),
        (0, header(total=0, count=0) + b"", "too large or empty"),
        (0, header(total=4_000_000_000, size=4_000_000_000, count=1) + b"1", "too large or empty"),
        (0, header(size=0) + b"12345", "do not agree"),
        (0, header(count=3) + b"12345", "do not agree"),
        (2, header() + b"12345", "index out of range"),
        (-1, header() + b"12345", "index out of range"),
        (1, header() + b"1234", "wrong length"),
        (1, header() + b"123456", "wrong length"),
    ],
)
def test_a_chunk_that_lies_is_refused(index: int, chunk: bytes, reason: str) -> None:
    assembly = Assembly(max_bytes=100)
    with pytest.raises(ChunkError, match=reason):
        assembly.add(index, chunk)
    assert not assembly.is_complete


@pytest.mark.parametrize(("data", "size"), [(b"", 10), (b"x" * 10_001, 1)])
def test_what_cannot_be_split_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(ChunkError):
        list(split(data, size))
