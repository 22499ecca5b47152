"""Reads protocol buffers in place (https://protobuf.dev/programming-guides/encoding): nothing is unpacked or copied."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_LARGEST_TAG = 2**32
_WORD, _SIGN = 2**64, 2**63
NO_ONNX = "it is not an ONNX file"

Value = int | memoryview | None
"""A number, bytes, or a number of fixed width, which nothing here reads: None, so that it is never taken for bytes."""


class Refused(Exception):  # noqa: N818 (becomes a UserError)
    """A file that is refused, and why."""


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a variable-length integer, and where it ends."""
    value = 0
    for count in range(_LONGEST_VARINT):
        if at + count >= len(data):
            break
        byte = data[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:  # noqa: PLR2004 (the bit that says that more follows)
            return value, at + count + 1
    raise Refused(NO_ONNX)


def _signed(value: int) -> int:
    return (value + _SIGN) % _WORD - _SIGN


class Reader:
    """Reads the messages of a file, with a bound on the fields that it may have in all."""

    def __init__(self, max_fields: int) -> None:
        """Begin.

        Args:
            max_fields: of the file.
        """
        self._max_fields = max_fields
        self._fields_left = max_fields

    def fields(self, data: memoryview) -> Iterator[tuple[int, Value]]:
        """Yield the fields of a message: number and value.

        Raises:
            Refused: it is not a message, or the file has too many fields.
        """
        at = 0
        while at < len(data):
            self._fields_left -= 1
            if self._fields_left < 0:
                raise Refused(f"it has more than {self._max_fields:,} fields")
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == VARINT:
                value, at = _varint(data, at)
                yield tag >> 3, value
                continue
            size = {FIXED_32: 4, FIXED_64: 8}.get(kind, 0)
            if kind == BYTES:
                size, at = _varint(data, at)
            if (not size and kind != BYTES) or tag >= _LARGEST_TAG or size > len(data) - at:
                raise Refused(NO_ONNX)
            yield tag >> 3, data[at : at + size] if kind == BYTES else None
            at += size


class Fields:
    """The fields of a message, by their numbers; each getter raises `Refused` where the value is not of its kind."""

    def __init__(self, reader: Reader, data: Value) -> None:
        """Read a message, but not those in it."""
        self._values: dict[int, list[Value]] = {}
        for number, value in reader.fields(as_bytes(data)):
            self._values.setdefault(number, []).append(value)

    def all(self, number: int) -> list[Value]:
        """Return all values of a field."""
        return self._values.get(number, [])

    def integer(self, number: int, default: int) -> int:
        """Return a number; the default where it is not there."""
        value = self._only(number, default)
        if not isinstance(value, int):
            raise Refused(NO_ONNX)
        return _signed(value)

    def bytes(self, number: int) -> memoryview:
        """Return a text, a message or data; empty where it is not there."""
        return as_bytes(self._only(number, memoryview(b"")))

    def name(self, number: int) -> str:
        """Return a text as a name, whatever its bytes."""
        return str(self.bytes(number), "latin-1")

    def names(self, number: int) -> list[str]:
        """Return all values of a field as names."""
        return [str(as_bytes(value), "latin-1") for value in self.all(number)]

    def integers(self, number: int, most: int) -> list[int]:
        """Return numbers, which may be packed.

        Args:
            number: of the field.
            most: more are refused.
        """
        found: list[int] = []
        for value in self.all(number):
            if isinstance(value, int):
                found.append(_signed(value))
                continue
            packed, at = as_bytes(value), 0
            while at < len(packed) and len(found) <= most:
                one, at = _varint(packed, at)
                found.append(_signed(one))
        if len(found) > most:
            raise Refused("it has a list that is too long")
        return found

    def _only(self, number: int, default: Value) -> Value:
        values = self._values.get(number, [default])
        if len(values) > 1:
            # Readers differ in which one they take.
            raise Refused("it has a field twice")
        return values[0]


def as_bytes(value: Value) -> memoryview:
    """Return a value that must not be a number."""
    if not isinstance(value, memoryview):
        raise Refused(NO_ONNX)
    return value
