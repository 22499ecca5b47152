"""What a model file may hold: checked in the bytes of the file, before any runtime sees it.

A runtime follows whatever an ONNX file tells it: it reads other files as "external data", runs loops, and looks up
operators in other domains. The export writes none of that, so this accepts only what the export writes. The file is a
protocol buffer (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, https://protobuf.dev/programming-guides/encoding).
It is walked in place: nothing is unpacked or copied, and fields that are not known are refused, not skipped.
What is left is a graph of a few operators; `model_shapes` bounds what running it costs, for any picture.
"""

from __future__ import annotations

from collections.abc import Callable

from vp_mqtt.bundle.model_shapes import RULES, check_shapes
from vp_mqtt.bundle.protobuf import Reader, Refused, Value, as_bytes
from vp_mqtt.errors import UserError

OPERATORS = frozenset(RULES)
"""What the export writes, with float32, float16 and int8 weights (tests/training/test_model_files.py)."""
MAX_FIELDS = 100_000
"""Of a file, in all; an int8 model of 60 layers has about 5,000."""

_DOMAINS = {b"", b"ai.onnx"}
_OTHER_FILES = "it refers to data in other files"


def check_model(model: bytes) -> None:
    """Check that a model file holds nothing but what the export writes.

    Args:
        model: an ONNX file.

    Raises:
        UserError: it refers to other files, has functions, subgraphs, or operators of another kind, is not ONNX, or
            what it costs depends on the picture or is too much.
    """
    try:
        _Walk(MAX_FIELDS).check(memoryview(model), _MODEL)
        check_shapes(memoryview(model), Reader(MAX_FIELDS))
    except Refused as error:
        raise UserError(f"the model is refused: {error}; export the bundle again with vp export") from None


class _Walk(Reader):
    """One walk through a file, with a bound on what it may meet."""

    def check(self, data: Value, message: _Message) -> None:
        """Check a message, and those in it."""
        seen = set()
        for number, value in self.fields(as_bytes(data)):
            check = message.get(number)
            if check is None:
                raise Refused(f"it has a field that the export does not write ({number})")
            if check is _once_graph and number in seen:
                raise Refused("it has two graphs")
            seen.add(number)
            check(self, value)


_Check = Callable[[_Walk, Value], None]
_Message = dict[int, _Check]


def _any(_walk: _Walk, _value: Value) -> None:
    """Accept names, numbers and the weights themselves."""


def _within(message: _Message) -> _Check:
    return lambda walk, value: walk.check(value, message)


def _domain(_walk: _Walk, value: Value) -> None:
    if not isinstance(value, memoryview) or bytes(value[:16]) not in _DOMAINS:
        raise Refused("it has operators of another domain than ONNX's own")


def _operator(_walk: _Walk, value: Value) -> None:
    name = bytes(value).decode("ascii", "replace") if isinstance(value, memoryview) else "?"
    if name not in OPERATORS:
        shown = "".join(letter if letter.isprintable() else "?" for letter in name[:40])
        raise Refused(f"its operator '{shown}' is not one that the export writes")


def _refuse(reason: str) -> _Check:
    def check(_walk: _Walk, _value: Value) -> None:
        raise Refused(reason)

    return check


def _location(_walk: _Walk, value: Value) -> None:
    if value != 0:
        raise Refused(_OTHER_FILES)


def _note_name(_walk: _Walk, value: Value) -> None:
    # ONNX Runtime can be told, by an environment variable, to take its options from a note.
    if not isinstance(value, memoryview) or bytes(value[:3]) == b"ort":
        raise Refused("it holds options for the runtime")


def _once_graph(walk: _Walk, value: Value) -> None:
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
_SIDES: _Message = {1: _within({1: _any})}
_INPUT: _Message = {
    **dict.fromkeys((1, 3, 4), _any),  # name, text, notes
    2: _within({1: _within({1: _any, 2: _within(_SIDES)})}),
}
_GRAPH: _Message = {
    **dict.fromkeys((2, 10, 12, 13, 16), _any),  # name, text, outputs, shapes between, notes
    1: _within(_NODE),
    5: _within(_TENSOR),
    11: _within(_INPUT),
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
