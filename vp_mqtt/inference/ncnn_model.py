"""From one of our ONNX models to ncnn's two files, without torch: pnnx, ncnn's own converter, needs it.

ncnn's layers and their numbered parameters: https://github.com/Tencent/ncnn/wiki/operation-param-weight-table.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference

INPUT = "in0"
"""Name of the blob that takes the picture."""

OUTPUT = "out0"
"""Name of the blob that gives the probabilities."""

_MAGIC = 7767517
_FLOAT32_FOLLOWS = bytes(4)
_LARGEST = float(np.finfo(np.float32).max)
_MAP_RANK = 4
_ACTIVATIONS = ("Relu", "Clip")
_INT8 = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")

_Array = NDArray[Any]


def convert(model: bytes, resolution: int) -> tuple[str, bytes]:
    """Return a variant's model as ncnn reads it.

    Args:
        model: an ONNX model with one input, float32 (1, 3, resolution, resolution), and the probabilities, float32
            (1, classes), as its first output.
        resolution: side of the input, in pixels.

    Returns:
        The text of the .param file, whose blobs `INPUT`, shape (3, resolution, resolution), and `OUTPUT`, shape
        (classes,), are the model's input and output; and the bytes of the .bin file, with weights in float32.

    Raises:
        ValueError: it is no such model, or ncnn or this converter does not know one of its operators.
    """
    try:
        known = shape_inference.infer_shapes(onnx.load_from_string(model), check_type=True, strict_mode=True)
    except Exception as error:  # noqa: BLE001 (protobuf's and onnx's errors have no common base class)
        reason = str(error).strip().splitlines() or ["empty"]
        raise ValueError(f"not a valid ONNX model: {reason[0]}") from None
    return _Converter(known.graph, resolution).converted()


@dataclass
class _Layer:
    """One line of the .param file."""

    kind: str
    bottoms: list[str]
    tops: list[str] = field(default_factory=list)
    parameters: str = ""


class _Converter:
    """Goes through a graph once, in its order, which is that of the computation.

    ncnn has no batch axis. What is (1, channels, height, width) in ONNX is a blob of three axes; what is pooled, be it
    (1, channels, 1, 1) or (1, channels), is a blob of one axis, called flat here.
    """

    def __init__(self, graph: onnx.GraphProto, resolution: int) -> None:
        self._nodes = list(graph.node)
        self._constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
        self._shapes = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        inputs = [value for value in graph.input if value.name not in self._constants]
        wanted = (1, 3, resolution, resolution)
        if len(inputs) != 1 or not graph.output or self._shapes[inputs[0].name] != wanted:
            raise ValueError(f"its input is not one of shape {wanted}")
        if inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
            raise ValueError("its input is not float32")
        self._input, self._output = inputs[0].name, graph.output[0].name
        self._uses = Counter(name for node in self._nodes for name in node.input)
        self._uses[self._output] += 1
        self._readers: defaultdict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(self._nodes):
            for name in node.input:
                self._readers[name].append(index)
        self._layers: list[_Layer] = []
        self._weights: list[bytes] = []
        self._blobs: dict[str, list[str]] = {}
        self._blob_count = 0
        self._flat: set[str] = set()
        self._fused: set[int] = set()
        self._known: dict[str, Callable[[NodeProto], None]] = {
            "Add": self._add,
            "Cast": self._cast,
            "Clip": self._activation,
            "Constant": self._constant,
            "Conv": self._conv,
            "Flatten": self._reshape,
            "Identity": self._reshape,
            "MatMul": self._matmul,
            "ReduceMax": self._pool,
            "ReduceMean": self._pool,
            "Relu": self._activation,
            "Reshape": self._reshape,
            "Slice": self._slice,
            "Softmax": self._softmax,
        }

    def converted(self) -> tuple[str, bytes]:
        self._emit("Input", [], self._input, flat=False)
        for index, node in enumerate(self._nodes):
            if node.op_type in _INT8:
                raise ValueError(f"it is an int8 model: operator {node.op_type} is not known")
            if node.domain not in {"", "ai.onnx"} or node.op_type not in self._known:
                raise ValueError(f"operator {node.op_type} is not known")
            if index not in self._fused:
                self._known[node.op_type](node)
        if self._output not in self._flat or len(self._shape(self._output)) != 2:  # noqa: PLR2004 (1, classes)
            raise ValueError("its output is not one of shape (1, classes)")
        names = {"blob0": INPUT, self._take(self._output): OUTPUT}
        lines = [str(_MAGIC), f"{len(self._layers)} {self._blob_count}"]
        for number, layer in enumerate(self._layers):
            blobs = [names.get(blob, blob) for blob in (*layer.bottoms, *layer.tops)]
            sizes = f"{len(layer.bottoms)} {len(layer.tops)}"
            lines.append(" ".join([layer.kind, f"layer{number}", sizes, *blobs, layer.parameters]).strip())
        return "\n".join(lines) + "\n", b"".join(self._weights)

    # Blobs

    def _new_blob(self) -> str:
        self._blob_count += 1
        return f"blob{self._blob_count - 1}"

    def _emit(self, kind: str, bottoms: list[str], value: str, parameters: str = "", *, flat: bool) -> None:
        """Append a layer that gives this value."""
        blob = self._new_blob()
        self._layers.append(_Layer(kind, bottoms, [blob], parameters))
        self._give(value, blob, flat=flat)

    def _give(self, value: str, blob: str, *, flat: bool) -> None:
        """Say which blob holds a value. ncnn lets a blob be read once, so what is read more often is split."""
        uses = self._uses[value]
        self._blobs[value] = [blob]
        if uses > 1:
            self._blobs[value] = [self._new_blob() for _ in range(uses)]
            self._layers.append(_Layer("Split", [blob], list(self._blobs[value])))
        if flat:
            self._flat.add(value)

    def _take(self, value: str) -> str:
        """Return the name of a blob that holds a value and that nothing else reads."""
        blobs = self._blobs.get(value)
        if not blobs:
            raise ValueError(f"the value {value[:40]} is a constant, or is not computed, where it is used")
        return blobs.pop(0)

    def _shape(self, value: str) -> tuple[int, ...]:
        """Return a computed value's shape as in ONNX, with the batch."""
        shape = self._shapes.get(value, ())
        if not shape or min(shape) < 1:
            raise ValueError(f"the shape of {value[:40]} is not fixed")
        return shape

    def _fixed(self, node: NodeProto, index: int) -> _Array | None:
        """Return an input that has to be a constant; None where it is left out."""
        if index >= len(node.input) or not node.input[index]:
            return None
        if node.input[index] not in self._constants:
            raise ValueError(f"operator {node.op_type} is known only with constants as its further inputs")
        return self._constants[node.input[index]]

    def _add_weights(self, weights: _Array, bias: _Array | None) -> None:
        self._weights += [_FLOAT32_FOLLOWS, weights.astype("<f4").tobytes()]
        if bias is not None:
            self._weights.append(bias.astype("<f4").tobytes())

    # Operators

    def _constant(self, node: NodeProto) -> None:
        value = _attributes(node).get("value")
        if not isinstance(value, TensorProto):
            raise ValueError("operator Constant is known only with a tensor")  # noqa: TRY004 (it is the model's fault)
        self._constants[node.output[0]] = _array(value)

    def _cast(self, node: NodeProto) -> None:
        constant = self._fixed(node, 0)
        if constant is None:
            raise ValueError("operator Cast without an input")
        kind = helper.tensor_dtype_to_np_dtype(_attributes(node)["to"])
        self._constants[node.output[0]] = constant.astype(kind)

    def _conv(self, node: NodeProto) -> None:
        weights, bias = self._fixed(node, 1), self._fixed(node, 2)
        shape = self._shape(node.input[0])
        if weights is None or weights.ndim != _MAP_RANK or len(shape) != _MAP_RANK:
            raise ValueError("operator Conv is known only in two dimensions")
        given = _attributes(node)
        if given.get("auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"}:
            raise ValueError("operator Conv is known only with explicit padding")
        outputs, groups = weights.shape[0], int(given.get("group", 1))
        # ncnn trusts its files, and would read beyond the end of what is too short.
        _require(shape[1] == weights.shape[1] * groups and outputs % groups == 0, "Conv: channels do not match")
        _require(bias is None or bias.shape == (outputs,), "Conv: the bias does not match")
        height, width = weights.shape[2:]
        top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
        if node.input[0] in self._flat:
            _require(height == width == groups == 1 and not top + left + bottom + right, "Conv: not 1x1 after pooling")
            self._inner_product(node, weights[:, :, 0, 0], bias)
            return
        strides, dilations = given.get("strides", (1, 1)), given.get("dilations", (1, 1))
        fused, value = self._fused_activation(node)
        parameters = [
            f"0={outputs} 1={width} 11={height} 2={dilations[1]} 12={dilations[0]} 3={strides[1]} 13={strides[0]}",
            f"4={left} 14={top} 15={right} 16={bottom} 5={int(bias is not None)} 6={weights.size}",
            *([f"7={groups}"] if groups > 1 else []),
            *fused,
        ]
        kind = "Convolution" if groups == 1 else "ConvolutionDepthWise"
        self._emit(kind, [self._take(node.input[0])], value, " ".join(parameters), flat=False)
        self._add_weights(weights, bias)

    def _matmul(self, node: NodeProto) -> None:
        weights = self._fixed(node, 1)
        if weights is None or weights.ndim != 2 or node.input[0] not in self._flat:  # noqa: PLR2004 (inputs, outputs)
            raise ValueError("operator MatMul is known only for pooled features and constant weights")
        _require(self._shape(node.input[0]) == (1, weights.shape[0]), "MatMul: shapes do not match")
        self._inner_product(node, weights.T, None)

    def _inner_product(self, node: NodeProto, weights: _Array, bias: _Array | None) -> None:
        """Multiply a flat value by weights, shape (outputs, inputs).

        Not as Convolution, although ncnn takes one: it says on standard error, at every call, that it does not like it.
        """
        fused, value = self._fused_activation(node)
        parameters = [f"0={weights.shape[0]} 1={int(bias is not None)} 2={weights.size}", *fused]
        self._emit("InnerProduct", [self._take(node.input[0])], value, " ".join(parameters), flat=True)
        self._add_weights(weights, bias)

    def _fused_activation(self, node: NodeProto) -> tuple[list[str], str]:
        """Return parameters that fuse the activation that follows, and the value that the layer then gives."""
        value = node.output[0]
        readers = self._readers[value]
        if self._uses[value] != 1 or not readers or self._nodes[readers[0]].op_type not in _ACTIVATIONS:
            return [], value
        follower = self._nodes[readers[0]]
        _require(follower.input[0] == value, f"{follower.op_type}: its bounds are computed")
        self._fused.add(readers[0])
        if follower.op_type == "Relu":
            return ["9=1"], follower.output[0]
        low, high = self._bounds(follower)
        return [f"9=3 -23310=2,{low},{high}"], follower.output[0]

    def _bounds(self, clip: NodeProto) -> tuple[str, str]:
        low, high = self._fixed(clip, 1), self._fixed(clip, 2)
        lowest = -_LARGEST if low is None else max(-_LARGEST, float(low))
        return _number(lowest), _number(_LARGEST if high is None else min(_LARGEST, float(high)))

    def _activation(self, node: NodeProto) -> None:
        # ncnn computes these in place: in the caller's own picture, were they the first.
        _require(node.input[0] != self._input, f"operator {node.op_type} of the picture is not known")
        flat = node.input[0] in self._flat
        if node.op_type == "Relu":
            self._emit("ReLU", [self._take(node.input[0])], node.output[0], flat=flat)
            return
        low, high = self._bounds(node)
        self._emit("Clip", [self._take(node.input[0])], node.output[0], f"0={low} 1={high}", flat=flat)

    def _add(self, node: NodeProto) -> None:
        first, second = node.input
        for value in (first, second):
            _require(value in self._blobs, "operator Add is known only without constants")
        same = self._shape(first) == self._shape(second) and (first in self._flat) == (second in self._flat)
        _require(same, "operator Add is known only for equal shapes")
        bottoms = [self._take(first), self._take(second)]
        self._emit("BinaryOp", bottoms, node.output[0], "0=0", flat=first in self._flat)

    def _pool(self, node: NodeProto) -> None:
        axes = self._fixed(node, 1)
        found: Sequence[int] = _attributes(node).get("axes", ()) if axes is None else axes.tolist()
        rank = len(self._shape(node.input[0]))
        over = sorted(axis % rank for axis in found)
        if rank != _MAP_RANK or over != [2, 3] or node.input[0] in self._flat:
            raise ValueError(f"operator {node.op_type} is known only over height and width")
        kind = "0=0" if node.op_type == "ReduceMax" else "0=1"
        self._emit("Pooling", [self._take(node.input[0])], node.output[0], f"{kind} 4=1", flat=True)

    def _reshape(self, node: NodeProto) -> None:
        value, result = node.input[0], node.output[0]
        if value in self._constants:
            raise ValueError(f"operator {node.op_type} is not known for constants")
        before, after = self._shape(value), self._shape(result)
        size = int(np.prod(before))
        if before == after or (value in self._flat and after in {(1, size), (1, size, 1, 1)}):
            self._give(result, self._take(value), flat=value in self._flat)
        elif after == (1, size):
            self._emit("Reshape", [self._take(value)], result, f"0={size}", flat=True)
        else:
            raise ValueError(f"operator {node.op_type} is known only to make features flat")

    def _slice(self, node: NodeProto) -> None:
        """Cut a part out of a flat value, shape (1, size)."""
        shape = self._shape(node.input[0])
        starts, ends, axes, steps = (self._fixed(node, index) for index in range(1, 5))
        along = [0] if axes is None else axes.tolist()
        if node.input[0] not in self._flat or along not in ([1], [-1]) or (steps is not None and steps.tolist() != [1]):
            raise ValueError("operator Slice is known only for a part of flat features")
        if starts is None or ends is None:
            raise ValueError("operator Slice without its bounds")
        first, end, _ = slice(int(starts[0]), int(ends[0])).indices(shape[1])
        _require(first < end, "operator Slice of nothing")
        parameters = f"-23309=1,{first} -23310=1,{end} -23311=1,0"
        self._emit("Crop", [self._take(node.input[0])], node.output[0], parameters, flat=True)

    def _softmax(self, node: NodeProto) -> None:
        rank = len(self._shape(node.input[0]))
        if node.input[0] not in self._flat or int(_attributes(node).get("axis", -1)) % rank != 1:
            raise ValueError("operator Softmax is known only over flat features")
        # 1=1: the axis is meant as it stands; ncnn once had it wrong, and keeps that for old files.
        self._emit("Softmax", [self._take(node.input[0])], node.output[0], "0=0 1=1", flat=True)


def _array(tensor: TensorProto) -> _Array:
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError("its weights are in another file")
    return numpy_helper.to_array(tensor)


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _number(value: float) -> str:
    """Return a number that ncnn takes for a float, by its dot, and within the 15 characters that it reads."""
    return f"{value:.7e}"


def _require(holds: bool, told: str) -> None:  # noqa: FBT001 (as in an assertion)
    if not holds:
        raise ValueError(told)
