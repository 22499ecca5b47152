from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted_broker import packet
from vp_mqtt.mqtt.packet_stream import PacketStream
from vp_mqtt.mqtt.properties import MalformedError

_SIZES = st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 70_000]) | st.integers(0, 300)


@given(st.lists(st.tuples(st.integers(1, 15), _SIZES), max_size=6), st.data())
def test_packets_are_put_together_however_they_arrive(sent: list[tuple[int, int]], data: st.DataObject) -> None:
    bodies = [(kind, bytes([kind]) * size) for kind, size in sent]
    whole = b"".join(packet(kind, body) for kind, body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    stream, found = PacketStream(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += [(command >> 4, bytes(body)) for command, body in stream.add(whole[start:end])]
    assert found == bodies


def test_packets_are_put_together_from_single_bytes() -> None:
    stream, found = PacketStream(), []
    for byte in packet(3, b"x" * 200) + packet(4, b""):
        found += [(command >> 4, len(body)) for command, body in stream.add(bytes([byte]))]
    assert found == [(3, 200), (4, 0)]


def test_a_length_of_more_than_four_bytes_is_an_error_after_the_packets_before_it() -> None:
    arriving = PacketStream().add(packet(4, b"ok") + b"\x30\xff\xff\xff\xff\x01")
    assert next(arriving) == (0x40, bytearray(b"ok"))
    with pytest.raises(MalformedError):
        next(arriving)
