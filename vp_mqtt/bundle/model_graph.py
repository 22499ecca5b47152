"""What decides the cost of an ONNX model: its operators, its shapes, and the constants that shapes are made of.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vp_mqtt.bundle.protobuf import Fields, Reader, Refused, Value, as_bytes

OPERATOR_SET = 18
"""What the export writes; in others, the same operators take their arguments in other ways."""
FORMAT = 4
"""The first one in which what a file stores is constant."""
FLOAT, UINT8, INT8, INT32, INT64, FLOAT16 = 1, 2, 3, 6, 7, 10
MAX_AXES = 8
_LONG_BYTES = 8
_INT, _STRING, _INTS = 2, 3, 7
_NO_SHAPE = "it has a tensor without a size"

Shape = tuple[int, ...]
Attribute = int | str | list[int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor, as far as it is known before the model runs.

    Attributes:
        shape: sides, each at least 1.
        type: of its elements, as in TensorProto.DataType.
        is_stored: whether the file holds it: no picture changes it.
        numbers: the elements of a short, stored int64 tensor; None for all others.
    """

    shape: Shape
    type: int
    is_stored: bool = False
    numbers: tuple[int, ...] | None = None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """An operator in a graph; its inputs and its output are named."""

    operator: str
    inputs: list[str]
    output: str
    attributes: dict[str, Attribute]


@dataclass(frozen=True, slots=True)
class Graph:
    """A model's graph: the nodes in the order in which they run, and what is there before the first one, by name."""

    nodes: list[Node]
    tensors: dict[str, Tensor]


def read_graph(model: memoryview, reader: Reader) -> Graph:
    """Read the graph of a model.

    Raises:
        Refused: it is not one graph with one input of a fixed shape.
    """
    fields = Fields(reader, model)
    sets = [Fields(reader, value) for value in fields.all(8)]
    graphs = fields.all(7)
    if len(graphs) != 1:
        raise Refused("it has no graph")
    if [one.integer(2, 0) for one in sets] != [OPERATOR_SET]:
        raise Refused(f"it is not written for operator set {OPERATOR_SET}")
    if fields.integer(1, 0) < FORMAT:
        raise Refused("it is written in an old format of ONNX")
    graph = Fields(reader, graphs[0])
    inputs = graph.all(11)
    if len(inputs) != 1:
        raise Refused("it does not have exactly one input")
    named = [_read_input(reader, inputs[0]), *(_read_stored(reader, value) for value in graph.all(5))]
    tensors = dict(named)
    if len(tensors) < len(named):
        raise Refused("two of its tensors have one name")
    return Graph([_read_node(reader, value) for value in graph.all(1)], tensors)


def _read_shape(sides: list[int]) -> Shape:
    if any(side < 1 for side in sides):
        raise Refused(_NO_SHAPE)
    return tuple(sides)


def _read_input(reader: Reader, data: Value) -> tuple[str, Tensor]:
    info = Fields(reader, data)
    tensor = Fields(reader, Fields(reader, info.bytes(2)).bytes(1))
    sides = Fields(reader, tensor.bytes(2)).all(1)
    if not 1 <= len(sides) <= MAX_AXES:
        raise Refused(_NO_SHAPE)
    shape = _read_shape([Fields(reader, side).integer(1, 0) for side in sides])
    return info.name(1), Tensor(shape, tensor.integer(1, 0))


def _read_stored(reader: Reader, data: Value) -> tuple[str, Tensor]:
    fields = Fields(reader, data)
    kind = fields.integer(2, 0)
    tensor = Tensor(_read_shape(fields.integers(1, MAX_AXES)), kind, is_stored=True)
    if tensor.elements > len(as_bytes(data)):
        raise Refused("it has a tensor without data")
    if kind != INT64 or tensor.elements > MAX_AXES:
        return fields.name(8), tensor
    raw = fields.bytes(9)
    numbers = fields.integers(7, MAX_AXES)
    if raw:
        if numbers:
            raise Refused("it has a tensor with two contents")
        if len(raw) != tensor.elements * _LONG_BYTES:
            raise Refused("it has a tensor without data")
        numbers = [
            int.from_bytes(raw[at : at + _LONG_BYTES], "little", signed=True) for at in range(0, len(raw), _LONG_BYTES)
        ]
    if len(numbers) != tensor.elements:
        raise Refused("it has a tensor without data")
    return fields.name(8), Tensor(tensor.shape, kind, is_stored=True, numbers=tuple(numbers))


def _read_node(reader: Reader, data: Value) -> Node:
    fields = Fields(reader, data)
    outputs = fields.names(2)
    if len(outputs) != 1:
        raise Refused("it has an operator that does not have exactly one output")
    attributes = dict(_read_attribute(reader, value) for value in fields.all(5))
    if len(attributes) < len(fields.all(5)):
        raise Refused("two arguments of an operator have one name")
    return Node(fields.name(4), fields.names(1), outputs[0], attributes)


def _read_attribute(reader: Reader, data: Value) -> tuple[str, Attribute]:
    fields = Fields(reader, data)
    kind = fields.integer(20, 0)
    if kind == _INT:
        return fields.name(1), fields.integer(3, 0)
    if kind == _STRING:
        return fields.name(1), fields.name(4)
    if kind == _INTS:
        return fields.name(1), fields.integers(8, MAX_AXES)
    raise Refused("it has an operator with an argument that the export does not write")
