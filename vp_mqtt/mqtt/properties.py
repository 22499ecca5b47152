"""MQTT 5 properties in packets that arrive (MQTT 5.0, section 2.2.2): what we do not use is cut out, in linear time.

paho unpacks every property, in quadratic time and in the network's thread: a packet of 700 KB full of user properties
stops it for a minute, and a content type that begins with a byte order mark ends the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
SUBACK: Final = 0x90
UNSUBACK: Final = 0xB0
DISCONNECT: Final = 0xE0
_ACKNOWLEDGEMENTS = {0x40, 0x50, 0x60, 0x70}  # PUBACK, PUBREC, PUBREL, PUBCOMP

MAX_MESSAGE_PROPERTIES: Final = 1024
"""Properties of a message may have so many bytes; those of a message of ours have about 40."""

MESSAGE_EXPIRY: Final = 0x02
CONTENT_TYPE: Final = 0x03
CORRELATION_DATA: Final = 0x09
TOPIC_ALIAS: Final = 0x23
_USER_PROPERTY = 0x26
_VARIABLE, _TEXT, _PAIR = -1, -2, -3
_TEXT_HEAD = 3  # identifier and length
# By identifier: the bytes of a value, or one of the kinds above (section 2.2.2.2).
_VALUES = {
    0x01: 1, 0x02: 4, 0x03: _TEXT, 0x08: _TEXT, 0x09: _TEXT, 0x0B: _VARIABLE, 0x11: 4, 0x12: _TEXT, 0x13: 2,
    0x15: _TEXT, 0x16: _TEXT, 0x17: 1, 0x18: 4, 0x19: 1, 0x1A: _TEXT, 0x1C: _TEXT, 0x1F: _TEXT, 0x21: 2, 0x22: 2,
    0x23: 2, 0x24: 1, 0x25: 1, 0x26: _PAIR, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip


class MalformedError(ValueError):
    """The packet is not MQTT 5."""


def reduce(command: int, body: bytearray) -> None:
    """Cut out of a packet other than PUBLISH, in place, the properties that we do not use.

    CONNACK and DISCONNECT keep all but user properties, other packets nothing.

    Args:
        command: the packet's first byte.
        body: what follows the packet's length.

    Raises:
        MalformedError: not even the length of the properties can be read.
    """
    kind = command & 0xF0
    start = _start(kind)
    if start is None or start >= len(body):
        return
    length, first = variable_integer(body, start)
    end = first + length
    if end > len(body):
        raise MalformedError("properties reach beyond the packet")
    kept = b""
    if kind in {CONNACK, DISCONNECT}:
        kept = b"".join(data for identifier, data in _split(body[first:end]) if identifier != _USER_PROPERTY)
    body[start:end] = encode_length(len(kept)) + kept


def of_message(properties: bytes | bytearray) -> tuple[bytes | None, str | None]:
    """Return what we use of a message's properties, its correlation data, and why the message is to be refused.

    Args:
        properties: of a PUBLISH packet, without their length.
    """
    if len(properties) > MAX_MESSAGE_PROPERTIES:
        return None, f"more than {MAX_MESSAGE_PROPERTIES} bytes of properties"
    try:
        found = [data[_TEXT_HEAD:] for identifier, data in _split(properties) if identifier == CORRELATION_DATA]
    except MalformedError as error:
        return None, str(error)
    if len(found) > 1:
        return None, "correlation data more than once"
    return (found[0] if found else None), None


def variable_integer(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return a variable byte integer (section 1.5.5), and where it ends.

    Raises:
        MalformedError: it is cut off, or longer than four bytes.
    """
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise MalformedError("malformed properties")


def _start(kind: int) -> int | None:
    """Return where in a packet the length of its properties is; None if it has none."""
    if kind in {CONNACK, SUBACK, UNSUBACK}:
        return 2
    if kind in _ACKNOWLEDGEMENTS:
        return 3
    return 1 if kind == DISCONNECT else None


def _split(properties: bytes | bytearray) -> Iterator[tuple[int, bytes]]:
    """Yield each property: its identifier, and all of its bytes.

    Raises:
        MalformedError: an unknown identifier, or a value that is cut off.
    """
    at = 0
    while at < len(properties):
        identifier = properties[at]
        end = _end_of_value(properties, at + 1, _VALUES.get(identifier, 0))
        if end > len(properties):
            raise MalformedError("malformed properties")
        yield identifier, bytes(properties[at:end])
        at = end


def _end_of_value(properties: bytes | bytearray, at: int, kind: int) -> int:
    if kind > 0:
        return at + kind
    if kind == _TEXT:
        return at + 2 + _two_bytes(properties, at)
    if kind == _PAIR:
        value = at + 2 + _two_bytes(properties, at)
        return value + 2 + _two_bytes(properties, value)
    if kind == _VARIABLE:
        return variable_integer(properties, at)[1]
    raise MalformedError("malformed properties")


def _two_bytes(data: bytes | bytearray, at: int) -> int:
    if at + 2 > len(data):
        raise MalformedError("malformed properties")
    return data[at] << 8 | data[at + 1]


def encode_length(length: int) -> bytes:
    """Return a length as a variable byte integer (section 1.5.5)."""
    encoded = bytearray()
    while True:
        length, low = divmod(length, 128)
        encoded.append(low | (0x80 if length else 0))
        if not length:
            return bytes(encoded)
