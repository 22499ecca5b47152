from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.scripted_broker import text, variable_byte_integer
from vp_mqtt.mqtt.properties import (
    CONNACK,
    DISCONNECT,
    MAX_MESSAGE_PROPERTIES,
    SUBACK,
    MalformedError,
    of_message,
    reduce,
)

_EMPTY_USER_PROPERTY = b"\x26\0\0\0\0"
_SUBSCRIPTION_ID = b"\x0b\xff\xff\x7f"


def with_properties(*properties: bytes) -> bytes:
    joined = b"".join(properties)
    return variable_byte_integer(len(joined)) + joined


def user_property(name: bytes, value: bytes) -> bytes:
    return b"\x26" + text(name) + text(value)


correlations = st.none() | st.binary(max_size=40)
others = st.lists(
    st.sampled_from(
        [_SUBSCRIPTION_ID, b"\x01\x01", b"\x02\0\0\0\x05", b"\x03" + text(b"\xef\xbb\xbfa"), b"\x08" + text(b"t")]
    )
    | st.builds(user_property, st.binary(max_size=30), st.binary(max_size=30)),
    max_size=8,
)


@given(correlation=correlations, others=others, data=st.data())
def test_of_a_message_the_correlation_data_alone_is_used(
    correlation: bytes | None, others: list[bytes], data: st.DataObject
) -> None:
    kept = [] if correlation is None else [b"\x09" + text(correlation)]
    at = data.draw(st.integers(0, len(others)))
    assert of_message(b"".join([*others[:at], *kept, *others[at:]])) == (correlation, None)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        (_EMPTY_USER_PROPERTY * 140_000, "more than 1024 bytes of properties"),
        (user_property(b"", b"x" * (MAX_MESSAGE_PROPERTIES - 4)), "more than 1024 bytes of properties"),
        (b"\x09\0\x01a\x09\0\x01b", "correlation data more than once"),
        (b"\x7f", "malformed properties"),
        (b"\x09\0\x05abc", "malformed properties"),
        (b"\x09\0", "malformed properties"),
        (b"\x26\0\x01a\0", "malformed properties"),
        (b"\x0b\xff\xff\xff\xff\x01", "malformed properties"),
        (b"\x02\0\0\0", "malformed properties"),
    ],
)
def test_a_message_with_bad_properties_is_refused(properties: bytes, reason: str) -> None:
    started = time.process_time()
    assert of_message(properties) == (None, reason)
    assert time.process_time() - started < 0.1


def test_a_message_at_the_limit_is_taken() -> None:
    assert of_message(user_property(b"", b"x" * (MAX_MESSAGE_PROPERTIES - 5))) == (None, None)


@pytest.mark.parametrize("body", [b"\0\0\xff\xff\xff\xff\x01", b"\0\0\x05\x01\x01"])
def test_a_packet_whose_properties_have_no_readable_length(body: bytes) -> None:
    packet = bytearray(body)
    with pytest.raises(MalformedError):
        reduce(CONNACK, packet)
    assert packet == body


def test_an_answer_of_the_broker_loses_its_user_properties_only() -> None:
    packet_size = b"\x27\0\x01\0\0"
    body = bytearray(b"\0\0" + with_properties(_EMPTY_USER_PROPERTY * 1000, packet_size, _EMPTY_USER_PROPERTY * 10_000))
    reduce(CONNACK, body)
    assert body == b"\0\0" + with_properties(packet_size)
    properties = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    properties.unpack(body[2:])  # type: ignore[no-untyped-call]
    assert properties.json()["MaximumPacketSize"] == 65536  # type: ignore[no-untyped-call]
    body = bytearray(b"\x8e" + with_properties(b"\x1f" + text(b"why"), _EMPTY_USER_PROPERTY))
    reduce(DISCONNECT, body)
    assert body == b"\x8e" + with_properties(b"\x1f" + text(b"why"))


@pytest.mark.parametrize(
    ("command", "head", "rest"),
    [(SUBACK, b"\0\x01", b"\x01\x87"), (0xB0, b"\0\x01", b"\0"), (0x40, b"\0\x01\x10", b""), (0x70, b"\0\x01\0", b"")],
)
def test_acknowledgements_lose_all(command: int, head: bytes, rest: bytes) -> None:
    body = bytearray(head + with_properties(b"\x7f" * 100_000) + rest)
    reduce(command, body)
    assert body == head + b"\0" + rest


@pytest.mark.parametrize(
    ("command", "body"),
    [(0x40, b"\0\x01"), (0x40, b"\0\x01\x10"), (DISCONNECT, b""), (DISCONNECT, b"\x8e"), (0xD0, b"")],
)
def test_packets_without_properties_are_left_as_they_are(command: int, body: bytes) -> None:
    packet = bytearray(body)
    reduce(command, packet)
    assert packet == body
