from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted_broker import text, variable_byte_integer
from vp_mqtt.mqtt.properties import PUBLISH, MalformedError
from vp_mqtt.mqtt.publish_packet import PublishPacket, parse


def body(topic: bytes, qos: int, properties: bytes, payload: bytes) -> bytearray:
    packet_id = struct.pack(">H", 300) if qos else b""
    return bytearray(text(topic) + packet_id + variable_byte_integer(len(properties)) + properties + payload)


@given(
    topic=st.text(max_size=20),
    flags=st.integers(0, 5),
    correlation=st.none() | st.binary(max_size=300),
    other=st.sampled_from([b"", b"\x01\x01", b"\x26\0\x01a\0\x01b"]),
    payload=st.binary(max_size=40),
)
def test_a_packet_is_taken_apart(
    topic: str, flags: int, correlation: bytes | None, other: bytes, payload: bytes
) -> None:
    qos, is_retained = flags >> 1, bool(flags & 1)
    properties = other + (b"" if correlation is None else b"\x09" + text(correlation))
    packet = parse(PUBLISH | flags, body(topic.encode(), qos, properties, payload))
    assert packet == PublishPacket(topic, payload, correlation, is_retained, qos, 300 if qos else 0, None)


def test_a_message_that_is_refused_says_why() -> None:
    packet = parse(PUBLISH, body(b"t", 0, b"\x7f", b"payload"))
    assert (packet.refusal, packet.correlation, packet.payload) == ("malformed properties", None, b"payload")


def test_a_topic_that_is_not_utf_8_is_none() -> None:
    assert parse(PUBLISH, body(b"\xff", 0, b"", b"")).topic is None


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (PUBLISH, b""),
        (PUBLISH, b"\0"),
        (PUBLISH, b"\0\x05ab"),
        (PUBLISH, b"\0\x01t"),
        (PUBLISH | 2, b"\0\x01t\0\x01"),
        (PUBLISH, b"\0\x01t\x05\x09"),
    ],
)
def test_what_is_no_packet_is_an_error(command: int, data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(command, bytearray(data))
