"""What a model file may hold: checked in the bytes of the file, before any runtime sees it.

A runtime follows whatever an ONNX file tells it: it reads other files as "external data", runs loops, and looks up
operators in other domains. The export writes none of that, so this accepts only what the export writes. The file is a
protocol buffer (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, https://protobuf.dev/programming-guides/encoding).
It is walked in place: nothing is unpacked or copied, and fields that are not known are refused, not skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vp_mqtt.errors import UserError

OPERATORS = frozenset(
    {
        *("Add", "Cast", "Clip", "Conv", "DequantizeLinear", "MatMul", "QuantizeLinear"),
        *("ReduceMax", "ReduceMean", "Relu", "Reshape", "Slice", "Softmax"),
    }
)
"""What the export writes, with float32, float16 and int8 weights (tests/training/test_model_files.py)."""
MAX_FIELDS = 100_000
"""Of a file, in all; an int8 model of 60 layers has about 5,000."""

_DOMAINS = {b"", b"ai.onnx"}
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_LARGEST_TAG = 2**32
_NO_ONNX = "it is not an ONNX file"
_OTHER_FILES = "it refers to data in other files"

_Value = int | memoryview


class _Refused(Exception):  # noqa: N818 (becomes a UserError)
    """A file that is refused, and why."""


def check_model(model: bytes) -> None:
    """Check that a model file holds nothing but what the export writes.

    Args:
        model: an ONNX file.

    Raises:
        UserError: it refers to other files, has functions, subgraphs, or operators of another kind, or is not ONNX.
    """
    try:
        _Walk().check(memoryview(model), _MODEL)
    except _Refused as error:
        raise UserError(f"the model is refused: {error}; export the bundle again with vp export") from None


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
    raise _Refused(_NO_ONNX)


class _Walk:
    """One walk through a file, with a bound on what it may meet."""

    def __init__(self) -> None:
        self._fields_left = MAX_FIELDS

    def fields(self, data: memoryview) -> Iterator[tuple[int, _Value]]:
        """Yield the fields of a message: number and value."""
        at = 0
        while at < len(data):
            self._fields_left -= 1
            if self._fields_left < 0:
                raise _Refused(f"it has more than {MAX_FIELDS:,} fields")
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == _VARINT:
                value, at = _varint(data, at)
                yield tag >> 3, value
                continue
            size = {_FIXED_32: 4, _FIXED_64: 8}.get(kind, 0)
            if kind == _BYTES:
                size, at = _varint(data, at)
            if (not size and kind != _BYTES) or tag >= _LARGEST_TAG or size > len(data) - at:
                raise _Refused(_NO_ONNX)
            yield tag >> 3, data[at : at + size]
            at += size

    def check(self, data: _Value, message: _Message) -> None:
        """Check a message, and those in it."""
        if isinstance(data, int):
            raise _Refused(_NO_ONNX)
        seen = set()
        for number, value in self.fields(data):
            check = message.get(number)
            if check is None:
                raise _Refused(f"it has a field that the export does not write ({number})")
            if check is _once_graph and number in seen:
                raise _Refused("it has two graphs")
            seen.add(number)
            check(self, value)


_Check = Callable[[_Walk, _Value], None]
_Message = dict[int, _Check]


def _any(_walk: _Walk, _value: _Value) -> None:
    """Accept names, numbers and the weights themselves."""


def _within(message: _Message) -> _Check:
    return lambda walk, value: walk.check(value, message)


def _domain(_walk: _Walk, value: _Value) -> None:
    if isinstance(value, int) or bytes(value[:16]) not in _DOMAINS:
        raise _Refused("it has operators of another domain than ONNX's own")


def _operator(_walk: _Walk, value: _Value) -> None:
    name = bytes(value).decode("ascii", "replace") if isinstance(value, memoryview) else "?"
    if name not in OPERATORS:
        shown = "".join(letter if letter.isprintable() else "?" for letter in name[:40])
        raise _Refused(f"its operator '{shown}' is not one that the export writes")


def _refuse(reason: str) -> _Check:
    def check(_walk: _Walk, _value: _Value) -> None:
        raise _Refused(reason)

    return check


def _location(_walk: _Walk, value: _Value) -> None:
    if value != 0:
        raise _Refused(_OTHER_FILES)


def _note_name(_walk: _Walk, value: _Value) -> None:
    # ONNX Runtime can be told, by an environment variable, to take its options from a note.
    if isinstance(value, int) or bytes(value[:3]) == b"ort":
        raise _Refused("it holds options for the runtime")


def _once_graph(walk: _Walk, value: _Value) -> None:
    walk.check(value, _GRAPH)


# Field numbers of onnx.proto. What is not here is refused.
_TENSOR: _Message = {
    **dict.fromkeys((1, 2, 4, 5, 7, 8, 9, 10, 11, 12), _any),  # dims, type, values, name, text
    13: _refuse(_OTHER_FILES),
    14: _location,
}
_ATTRIBUTE: _Message = {
    **dict.fromkeys((1, 2, 3, 4, 7, 8, 9, 13, 20), _any),  # numbers and texts
    5: _refuse("it has an operator with a tensor of its own"),
    6: _refuse("it has subgraphs"),
    11: _refuse("it has subgraphs"),
}
_NODE: _Message = {
    **dict.fromkeys((1, 2, 3, 6, 9), _any),  # inputs, outputs, name, text, notes
    4: _operator,
    5: _within(_ATTRIBUTE),
    7: _domain,
}
_GRAPH: _Message = {
    **dict.fromkeys((2, 10, 11, 12, 13, 16), _any),  # name, text, inputs, outputs, shapes between, notes
    1: _within(_NODE),
    5: _within(_TENSOR),
    15: _refuse("it has sparse weights"),
}
_OPERATOR_SET: _Message = {1: _domain, 2: _any}
_MODEL: _Message = {
    **dict.fromkeys((1, 2, 3, 4, 5, 6), _any),  # versions, producer, domain of the model's name, text
    7: _once_graph,
    8: _within(_OPERATOR_SET),
    14: _within({1: _note_name, 2: _any}),
    20: _refuse("it has training steps"),
    25: _refuse("it has functions"),
}
