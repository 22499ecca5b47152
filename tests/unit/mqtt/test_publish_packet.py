from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.scripted_broker import packet, text, variable_byte_integer
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.properties import PUBLISH, MalformedError
from vp_mqtt.mqtt.publish_packet import PublishPacket, encode, parse


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
    parsed = parse(PUBLISH | flags, body(topic.encode(), qos, properties, payload))
    assert parsed == PublishPacket(topic, payload, correlation, is_retained, qos, 300 if qos else 0, None)


def test_a_message_that_is_refused_says_why() -> None:
    parsed = parse(PUBLISH, body(b"t", 0, b"\x7f", b"payload"))
    assert (parsed.refusal, parsed.correlation, parsed.payload) == ("malformed properties", None, b"payload")


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
        (PUBLISH, b"\0\x01t\xff\xff\xff\xff\x01"),
    ],
)
def test_what_is_no_packet_is_an_error(command: int, data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(command, bytearray(data))


@st.composite
def outgoing(draw: st.DrawFn) -> Outgoing:
    return Outgoing(
        topic="t/\u00e4",
        payload=draw(st.binary(max_size=200)),
        retain=draw(st.booleans()),
        correlation=draw(st.none() | st.binary(max_size=300)),
        content_type=draw(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)),
        expiry_s=draw(st.none() | st.integers(0, 2**32 - 1)),
    )


@given(outgoing(), st.none() | st.integers(1, 65_535))
def test_a_packet_is_what_paho_writes(message: Outgoing, alias: int | None) -> None:
    theirs = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    own = {
        "TopicAlias": alias,
        "CorrelationData": message.correlation,
        "ContentType": message.content_type,
        "MessageExpiryInterval": message.expiry_s,
    }
    for name, value in own.items():
        if value is not None:
            setattr(theirs, name, value)
    packed = theirs.pack()  # type: ignore[no-untyped-call]
    assert message.properties(alias) == packed
    expected = packet(3, text(message.topic.encode()) + packed + message.payload, int(message.retain))
    assert encode(message.topic, packed, message.payload, retain=message.retain) == expected
