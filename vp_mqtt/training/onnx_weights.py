"""How weights are stored in ONNX models: large ones as float16 or int8, and turned into float32 by the model itself.

Runtimes do that once, when they load the model: it computes as fast as with weights stored as float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Stored = Literal["float16", "float32", "int8-stored"]
"""Types of stored weights with which a model computes in float32."""

MIN_HALVED_VALUES = 256
"""Arrays with fewer values are stored as float32."""

_MIN_INT8_VALUES = 4096
_LARGEST_INT8 = 127
_CLASSIFIER = ".classifier."


def store_weights(model: onnx.ModelProto, stored: Stored) -> None:
    """Store a model's large weights as `stored` says; the model, with all weights in float32, is changed in place."""
    scales = _store_in_int8(model.graph) if stored == "int8-stored" else []
    if stored != "float32":
        _halve_weights(model.graph)
    model.graph.initializer.extend(scales)


def constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Return what is stored in a graph, and what it makes of that by casts and multiplications, by name."""
    values: dict[str, NDArray[Any]] = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type not in {"Cast", "Mul"} or not all(name in values for name in node.input):
            continue
        factors = [values[name].astype(np.float32) for name in node.input]
        values[node.output[0]] = factors[0] if len(factors) == 1 else factors[0] * factors[1]
    return values


def _halve_weights(graph: onnx.GraphProto) -> None:
    """Store large float32 weights as float16, with a cast back."""
    casts = []
    for index, tensor in enumerate(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) >= MIN_HALVED_VALUES:
            stored = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.half")
            casts.append(helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT))
            graph.initializer[index].CopyFrom(stored)
    _put_before(graph, casts)


def _store_in_int8(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Store the weights of large 1x1 convolutions as int8, but not the classifier's; return a scale for each filter.

    They are most of a network's weights. Those of depth-wise convolutions are few, and their ranges differ more.
    """
    names = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    nodes, scales = [], []
    for index, tensor in enumerate(graph.initializer):
        if tensor.name not in names or _CLASSIFIER in tensor.name or list(tensor.dims[2:]) != [1, 1]:
            continue
        weights = numpy_helper.to_array(tensor)
        if weights.size < _MIN_INT8_VALUES:
            continue
        steps = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / _LARGEST_INT8
        rounded = np.rint(weights / np.where(steps > 0, steps, 1)).astype(np.int8)
        whole, scale = f"{tensor.name}.whole", f"{tensor.name}.scale"
        nodes.append(helper.make_node("Cast", [f"{tensor.name}.int8"], [whole], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [whole, scale], [tensor.name]))
        graph.initializer[index].CopyFrom(numpy_helper.from_array(rounded, f"{tensor.name}.int8"))
        scales.append(numpy_helper.from_array(steps.astype(np.float32), scale))
    _put_before(graph, nodes)
    return scales


def _put_before(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    both = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(both)
