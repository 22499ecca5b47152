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

_CORRELATION_DATA = 0x09
_USER_PROPERTY = 0x26
_VARIABLE, _TEXT, _PAIR = -1, -2, -3
# By identifier: the bytes of a value, or one of the kinds above (section 2.2.2.2).
_VALUES = {
    0x01: 1, 0x02: 4, 0x03: _TEXT, 0x08: _TEXT, 0x09: _TEXT, 0x0B: _VARIABLE, 0x11: 4, 0x12: _TEXT, 0x13: 2,
    0x15: _TEXT, 0x16: _TEXT, 0x17: 1, 0x18: 4, 0x19: 1, 0x1A: _TEXT, 0x1C: _TEXT, 0x1F: _TEXT, 0x21: 2, 0x22: 2,
    0x23: 2, 0x24: 1, 0x25: 1, 0x26: _PAIR, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip


class MalformedError(ValueError):
    """The packet is not MQTT 5."""


def reduce(command: int, body: bytearray) -> str | None:
    """Cut out of a packet, in place, the properties that we do not use.

    A PUBLISH keeps its correlation data, CONNACK and DISCONNECT all but user properties, other packets nothing.

    Args:
        command: the packet's first byte.
        body: what follows the packet's length.

    Returns:
        Why the message of a PUBLISH is to be refused; it is then left without properties. None if it is fine.

    Raises:
        MalformedError: not even the length of the properties can be read.
    """
    kind = command & 0xF0
    start = _start(kind, command, body)
    if start is None or start >= len(body):
        return None
    length, first = variable_integer(body, start)
    end = first + length
    if end > len(body):
        raise MalformedError("properties reach beyond the packet")
    kept, reason = _kept(kind, body[first:end])
    body[start:end] = encode_length(len(kept)) + kept
    return reason


def variable_integer(data: bytearray, at: int) -> tuple[int, int]:
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


def _start(kind: int, command: int, body: bytearray) -> int | None:
    """Return where in a packet the length of its properties is; None if it has none."""
    if kind == PUBLISH:
        has_id = command & 0x06 != 0
        return 2 + _two_bytes(body, 0) + (2 if has_id else 0)
    if kind in {CONNACK, SUBACK, UNSUBACK}:
        return 2
    if kind in _ACKNOWLEDGEMENTS:
        return 3
    return 1 if kind == DISCONNECT else None


def _kept(kind: int, properties: bytearray) -> tuple[bytes, str | None]:
    """Return the properties that are kept, and why the message is to be refused."""
    if kind in {CONNACK, DISCONNECT}:
        return b"".join(data for identifier, data in _split(properties) if identifier != _USER_PROPERTY), None
    if kind != PUBLISH:
        return b"", None
    if len(properties) > MAX_MESSAGE_PROPERTIES:
        return b"", f"more than {MAX_MESSAGE_PROPERTIES} bytes of properties"
    if _is_correlation_data(properties):
        return bytes(properties), None
    try:
        kept = [data for identifier, data in _split(properties) if identifier == _CORRELATION_DATA]
    except MalformedError as error:
        return b"", str(error)
    return (b"", "correlation data more than once") if len(kept) > 1 else (b"".join(kept), None)


def _is_correlation_data(properties: bytearray) -> bool:
    """Return whether there is nothing but correlation data, as in all messages of ours."""
    head = 3
    return (
        len(properties) >= head
        and properties[0] == _CORRELATION_DATA
        and len(properties) == head + (properties[1] << 8 | properties[2])
    )


def _split(properties: bytearray) -> Iterator[tuple[int, bytes]]:
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


def _end_of_value(properties: bytearray, at: int, kind: int) -> int:
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


def _two_bytes(data: bytearray, at: int) -> int:
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
