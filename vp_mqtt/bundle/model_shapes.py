"""What running a model costs, computed from its file: it must be the same for every picture, and bounded.

Every shape follows from the input's shape and from constants in the file: an operator that takes a shape, a range or
axes as an input takes them only from the file. So a trial with any picture shows the time and the memory that the model
takes with every picture. Of operators, arguments and types, only what the export writes is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from vp_mqtt.bundle.model_graph import (
    FLOAT,
    FLOAT16,
    INT8,
    INT32,
    INT64,
    UINT8,
    Attribute,
    Shape,
    Tensor,
    read_graph,
)
from vp_mqtt.bundle.protobuf import Reader, Refused

MAX_OPERATIONS = 10_000_000_000
"""Multiplications with an addition, and elements that are computed, per picture: MobileNetV2 at full width takes 0.3
billion for 224 x 224 pixels, and 6.4 billion for 1,024 x 1,024."""
MAX_ELEMENTS = 2**25
"""Of a tensor: 128 MB in float32. MobileNetV2 at full width has 1.2 million for 224 x 224 pixels, and 25 million for
1,024 x 1,024."""


@dataclass(frozen=True, slots=True)
class _Call:
    """An operator with what goes in."""

    inputs: list[Tensor]
    attributes: dict[str, Attribute]

    def integer(self, name: str, default: int) -> int:
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise Refused(f"its argument '{name}' is not a number")
        return value

    def integers(self, name: str, default: list[int], *, least: int) -> list[int]:
        value = self.attributes.get(name, default)
        if not isinstance(value, list) or len(value) != len(default) or min(value) < least:
            raise Refused(f"its argument '{name}' is not one that the export writes")
        return value

    def numbers(self, index: int) -> tuple[int, ...]:
        """Return an input that decides a shape."""
        numbers = self.inputs[index].numbers
        if numbers is None or len(self.inputs[index].shape) != 1:
            raise Refused("what it computes depends on more than constants in its size")
        return numbers


@dataclass(frozen=True, slots=True)
class _Result:
    """What comes out: shape, type, and operations per element."""

    shape: Shape
    type: int = FLOAT
    per_element: int = 1


@dataclass(frozen=True, slots=True)
class _Rule:
    """What an operator takes: types of the inputs, the last ones of which may be absent, and names of attributes."""

    apply: Callable[[_Call], _Result]
    types: tuple[set[int], ...]
    attributes: frozenset[str] = frozenset()
    optional: int = 0
    stored_from: int | None = None
    """Inputs from this one on must be in the file."""


def _same(call: _Call) -> _Result:
    return _Result(call.inputs[0].shape)


def _broadcast(call: _Call) -> _Result:
    first, second = (tensor.shape for tensor in call.inputs)
    axes = max(len(first), len(second))
    pairs = list(zip(_padded(first, axes), _padded(second, axes), strict=True))
    if any(a != b and 1 not in {a, b} for a, b in pairs):
        raise _mismatch()
    return _Result(tuple(max(pair) for pair in pairs))


def _padded(shape: Shape, axes: int) -> Shape:
    return (1,) * (axes - len(shape)) + shape


def _mismatch() -> Refused:
    return Refused("the sizes of its tensors do not fit")


def _cast(call: _Call) -> _Result:
    if call.integer("to", 0) != FLOAT:
        raise Refused("it converts to another type than float32")
    return _same(call)


def _quantize(call: _Call) -> _Result:
    return _Result(call.inputs[0].shape, call.inputs[2].type)


def _conv(call: _Call) -> _Result:
    picture, kernel = call.inputs[0].shape, call.inputs[1].shape
    if len(picture) != 4 or len(kernel) != 4:  # noqa: PLR2004 (count, channels, height, width)
        raise _mismatch()
    groups = call.integer("group", 1)
    if groups < 1 or picture[1] != kernel[1] * groups or kernel[0] % groups:
        raise _mismatch()
    if call.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise Refused("it pads in a way that the export does not write")
    pads = call.integers("pads", [0] * 4, least=0)
    strides = call.integers("strides", [1, 1], least=1)
    dilations = call.integers("dilations", [1, 1], least=1)
    if call.integers("kernel_shape", list(kernel[2:]), least=1) != list(kernel[2:]):
        raise _mismatch()
    sides = []
    for axis in range(2):
        room = picture[2 + axis] + pads[axis] + pads[2 + axis] - dilations[axis] * (kernel[2 + axis] - 1) - 1
        sides.append(room // strides[axis] + 1)
    per_element = math.prod(kernel[1:])
    return _Result((picture[0], kernel[0], *sides), per_element=per_element)


def _matmul(call: _Call) -> _Result:
    first, second = (tensor.shape for tensor in call.inputs)
    if len(first) != 2 or len(second) != 2 or first[1] != second[0]:  # noqa: PLR2004 (rows and columns)
        raise _mismatch()
    return _Result((first[0], second[1]), per_element=first[1])


def _axes(numbers: tuple[int, ...], count: int) -> list[int]:
    axes = [axis + count if axis < 0 else axis for axis in numbers]
    if len(set(axes)) < len(axes) or not all(0 <= axis < count for axis in axes):
        raise _mismatch()
    return axes


def _reduce(call: _Call) -> _Result:
    shape, numbers = call.inputs[0].shape, call.numbers(1)
    axes = _axes(numbers, len(shape))
    if not axes or call.integer("noop_with_empty_axes", 0):
        raise _mismatch()
    kept = call.integer("keepdims", 1)
    if kept not in {0, 1}:
        raise _mismatch()
    sides = [1 if axis in axes else side for axis, side in enumerate(shape) if kept or axis not in axes]
    # Each element of the input is an operation.
    return _Result(tuple(sides), per_element=math.prod(shape[axis] for axis in axes))


def _reshape(call: _Call) -> _Result:
    shape = call.numbers(1)
    if min(shape, default=1) < 1 or math.prod(shape) != call.inputs[0].elements:
        raise _mismatch()
    return _Result(shape)


def _slice(call: _Call) -> _Result:
    sides = list(call.inputs[0].shape)
    starts, ends, axes, steps = (call.numbers(index) for index in range(1, 5))
    if not len(starts) == len(ends) == len(axes) == len(steps) or min(steps, default=1) < 1:
        raise _mismatch()
    for start, end, axis, step in zip(starts, ends, _axes(axes, len(sides)), steps, strict=True):
        sides[axis] = len(range(*slice(start, end, step).indices(sides[axis])))
    return _Result(tuple(sides))


_FLOATS, _BYTES, _NUMBERS = {FLOAT}, {UINT8, INT8}, {INT64}
_WEIGHTS = {UINT8, INT8, INT32}
RULES = {
    **dict.fromkeys(("Add", "Div", "Mul"), _Rule(_broadcast, (_FLOATS,) * 2)),
    "Cast": _Rule(_cast, ({FLOAT16, INT8},), frozenset({"to"}), stored_from=0),
    "Clip": _Rule(_same, (_FLOATS,) * 3, stored_from=1),
    "Conv": _Rule(
        _conv,
        (_FLOATS,) * 3,
        frozenset({"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}),
        optional=1,
    ),
    "DequantizeLinear": _Rule(_same, (_WEIGHTS, _FLOATS, _WEIGHTS), frozenset({"axis"}), stored_from=1),
    "MatMul": _Rule(_matmul, (_FLOATS,) * 2),
    "QuantizeLinear": _Rule(_quantize, (_FLOATS, _FLOATS, _BYTES), frozenset({"axis"}), stored_from=1),
    **dict.fromkeys(
        ("ReduceL2", "ReduceMax", "ReduceMean"),
        _Rule(_reduce, (_FLOATS, _NUMBERS), frozenset({"keepdims", "noop_with_empty_axes"}), stored_from=1),
    ),
    **dict.fromkeys(("Relu", "Sigmoid"), _Rule(_same, (_FLOATS,))),
    "Reshape": _Rule(_reshape, (_FLOATS, _NUMBERS), frozenset({"allowzero"}), stored_from=1),
    "Slice": _Rule(_slice, (_FLOATS, *(_NUMBERS,) * 4), stored_from=1),
    "Softmax": _Rule(_same, (_FLOATS,), frozenset({"axis"})),
}
"""What the export writes, by operator."""


def check_shapes(model: memoryview, reader: Reader) -> dict[str, Shape]:
    """Check that what a model costs is the same for every picture, and not too much.

    Args:
        model: an ONNX file.
        reader: reads it.

    Returns:
        The shapes of all tensors, by name.

    Raises:
        Refused: a size depends on data, a tensor is too large, or all of it takes too long.
    """
    graph = read_graph(model, reader)
    tensors = graph.tensors
    operations = 0
    for node in graph.nodes:
        result = _apply(node.operator, [_find(tensors, name) for name in node.inputs], node.attributes)
        output = Tensor(result.shape, result.type)
        if min(output.shape, default=1) < 1 or node.output in tensors or not node.output:
            raise _mismatch()
        if output.elements > MAX_ELEMENTS:
            raise Refused(f"it has a tensor of more than {MAX_ELEMENTS:,} elements; choose a smaller resolution")
        operations += output.elements * result.per_element
        if operations > MAX_OPERATIONS:
            raise Refused(
                f"it takes more than {MAX_OPERATIONS:,} operations for a picture; choose a smaller resolution"
            )
        tensors[node.output] = output
    return {name: tensor.shape for name, tensor in tensors.items()}


def _find(tensors: dict[str, Tensor], name: str) -> Tensor:
    # An empty name stands for an input that is left out, whatever has that name.
    if not name or name not in tensors:
        raise Refused("it uses a tensor that is not there yet")
    return tensors[name]


def _apply(operator: str, inputs: list[Tensor], attributes: dict[str, Attribute]) -> _Result:
    rule = RULES.get(operator)
    if rule is None:
        raise Refused("it has an operator that the export does not write")
    if (
        not len(rule.types) - rule.optional <= len(inputs) <= len(rule.types)
        or not attributes.keys() <= rule.attributes
    ):
        raise Refused(f"its operator '{operator}' has arguments that the export does not write")
    for index, tensor in enumerate(inputs):
        if rule.stored_from is not None and index >= rule.stored_from and not tensor.is_stored:
            raise Refused(f"what its operator '{operator}' does depends on data, not only on constants")
        if tensor.type not in rule.types[index]:
            raise Refused(f"its operator '{operator}' has an input of a type that the export does not write")
    return rule.apply(_Call(inputs, attributes))
