from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.mqtt.buffered_socket import BufferedSocket


@pytest.fixture
def ends() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = BufferedSocket(ours)
        reader.setblocking(False)
        yield reader, theirs


@given(sizes=st.lists(st.integers(1, 200_000), min_size=1, max_size=20), data=st.binary(min_size=1, max_size=5000))
def test_everything_is_read_once_and_in_order(sizes: list[int], data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.close()
        reader, read, turn = BufferedSocket(ours), b"", 0
        while part := reader.recv(sizes[turn % len(sizes)]):
            assert len(part) <= sizes[turn % len(sizes)]
            read, turn = read + part, turn + 1
    assert read == data


def test_what_was_read_ahead_is_pending(ends: tuple[BufferedSocket, socket.socket]) -> None:
    reader, theirs = ends
    assert reader.pending() == 0
    theirs.sendall(b"abcdef")
    assert reader.recv(2) == b"ab"
    assert reader.pending() == 4
    assert select.select([reader], [], [], 0)[0] == []
    assert reader.recv(10) == b"cdef"
    assert reader.pending() == 0
    with pytest.raises(BlockingIOError):
        reader.recv(1)


def test_a_large_payload_is_read_past_the_buffer(ends: tuple[BufferedSocket, socket.socket]) -> None:
    reader, theirs = ends
    theirs.sendall(b"x" * 1000)
    assert reader.recv(100_000) == b"x" * 1000
    assert reader.pending() == 0


def test_sending_and_closing_are_the_sockets(ends: tuple[BufferedSocket, socket.socket]) -> None:
    reader, theirs = ends
    assert reader.send(b"out") == 3
    assert theirs.recv(10) == b"out"
    reader.close()
    assert reader.fileno() == -1
    assert theirs.recv(10) == b""
