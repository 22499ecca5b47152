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
def test_garbage_is_refused_or_accepted_but_never_crashes(index: int, chunk: bytes) -> None:
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
        (0, b"", "chunk too short"),
        (0, header()[:-1], "chunk too short"),
        (0, header(), "chunk of the wrong length"),
        (0, header(version=2) + b"12345", "chunk of an unknown format"),
        (0, header(version=0) + b"12345", "chunk of an unknown format"),
        (0, header(zero=1) + b"12345", "chunk of an unknown format"),
        (0, header(version=2, zero=1) + b"12345", "chunk of an unknown format"),
        (0, header(total=0, count=0) + b"", "file too large or empty"),
        (0, header(total=101, size=101, count=1) + b"1" * 101, "file too large or empty"),
        (0, header(total=4_000_000_000, size=4_000_000_000, count=1) + b"1", "file too large or empty"),
        (0, header(size=0) + b"12345", "chunk's counts do not agree"),
        (0, header(count=3) + b"12345", "chunk's counts do not agree"),
        (0, header(count=1) + b"12345", "chunk's counts do not agree"),
        (2, header() + b"12345", "chunk's index out of range"),
        (-1, header() + b"12345", "chunk's index out of range"),
        (0, header() + b"1234", "chunk of the wrong length"),
        (0, header() + b"123456", "chunk of the wrong length"),
        (1, header(total=9) + b"12345", "chunk of the wrong length"),
        (1, header() + b"1234", "chunk of the wrong length"),
        (1, header() + b"123456", "chunk of the wrong length"),
    ],
)
def test_an_invalid_chunk_is_refused(index: int, chunk: bytes, reason: str) -> None:
    assembly = Assembly(max_bytes=100)
    with pytest.raises(ChunkError) as caught:
        assembly.add(index, chunk)
    assert str(caught.value) == reason
    assert not assembly.is_complete


def test_files_at_the_limits_are_put_together() -> None:
    largest = Assembly(max_bytes=100)
    assert largest.add(0, header(count=1, total=100, size=100) + b"1" * 100)
    assert largest.data == b"1" * 100
    smallest = Assembly(max_bytes=100)
    assert smallest.add(0, header(count=1, total=1, size=1) + b"1")
    most = Assembly(max_bytes=10_000)
    for index, chunk in enumerate(split(bytes(range(256)) * 39 + bytes(16), 1)):
        is_complete = most.add(index, chunk)
        assert is_complete == (index == 9_999)
    assert most.data == bytes(range(256)) * 39 + bytes(16)
    too_many = Assembly(max_bytes=20_000)
    with pytest.raises(ChunkError, match=r"^chunk's counts do not agree$"):
        too_many.add(0, header(count=10_001, total=10_001, size=1) + b"1")


def test_an_assembly_is_empty_until_it_is_complete() -> None:
    assembly = Assembly(max_bytes=100)
    assert assembly.data == b""
    assert not assembly.is_complete
    assert not assembly.add(1, header() + b"67890")
    assert not assembly.is_complete
    assert not assembly.add(1, header() + b"67890"), "the same again"
    assert assembly.add(0, header() + b"12345")
    assert assembly.data == b"1234567890"


def test_an_assembly_with_every_chunk_is_complete() -> None:
    assembly = Assembly(max_bytes=100)
    assembly.add(0, header() + b"12345")
    assembly.add(1, header() + b"67890")
    assert assembly.is_complete


def test_an_invalid_chunk_leaves_what_is_there() -> None:
    assembly = Assembly(max_bytes=100)
    assembly.add(0, header() + b"12345")
    with pytest.raises(ChunkError):
        assembly.add(1, header(total=9) + b"6789?")
    assert assembly.add(1, header() + b"67890")
    assert assembly.data == b"1234567890"


@pytest.mark.parametrize("change", [{"total": 9}, {"size": 9}, {"total": 6}])
def test_a_chunk_with_another_header_begins_anew(change: dict[str, int]) -> None:
    assembly = Assembly(max_bytes=100)
    assembly.add(0, header() + b"12345")
    changed = {"total": 10, "size": 5} | change
    last = changed["total"] - changed["size"]
    assert not assembly.add(1, header(**changed) + b"x" * last)
    assert assembly.add(0, header(**changed) + b"y" * changed["size"])
    assert assembly.data == b"y" * changed["size"] + b"x" * last


@pytest.mark.parametrize(("data", "size"), [(b"", 10), (b"x" * 10_001, 1)])
def test_what_cannot_be_split_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(ChunkError) as caught:
        list(split(data, size))
    assert str(caught.value) == ("more than 10000 chunks" if data else "an empty file")
