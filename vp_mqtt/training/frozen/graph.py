"""Exchanges the classifier of a variant's ONNX model: the backbone and its head stay as they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vp_mqtt.errors import UserError
from vp_mqtt.training.onnx_weights import MIN_HALVED_VALUES

_CLASSIFIER = "network.classifier"


def with_classifier(model: bytes, weights: NDArray[np.floating], bias: NDArray[np.floating]) -> bytes:
    """Return a variant's ONNX model with another linear classifier, for any number of classes.

    Args:
        model: without familiarity, as `vp export` writes it.
        weights: shape (classes, features).
        bias: shape (classes,).

    Raises:
        UserError: the model is not one that `vp export` writes with float weights, or has another number of features.
    """
    built = onnx.load_model_from_string(model)
    graph = built.graph
    node = _classifier_of(graph)
    old = {name: _source_of(graph, name) for name in node.input[1:]}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    before = stored[old[node.input[1]]].dims
    if before[1] != weights.shape[1]:
        raise UserError(f"the model has {before[1]} features, the classifier {weights.shape[1]}")
    reshape = next((one for one in graph.node if one.op_type == "Reshape" and one.input[0] == node.output[0]), None)
    if reshape is None:
        raise UserError("not a model that `vp export` wrote; start from another bundle")
    dropped = {*old.values(), reshape.input[1]}
    kept = [tensor for tensor in graph.initializer if tensor.name not in dropped]
    nodes = [one for one in graph.node if one.op_type != "Cast" or one.output[0] not in old]
    added = {f"{_CLASSIFIER}.weight": weights.astype(np.float32)[:, :, np.newaxis, np.newaxis]}
    added[f"{_CLASSIFIER}.bias"] = bias.astype(np.float32)
    casts = []
    for name, values in added.items():
        if math.prod(values.shape) >= MIN_HALVED_VALUES:
            kept.append(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        else:
            kept.append(numpy_helper.from_array(values, name))
    kept.append(numpy_helper.from_array(np.array([1, len(bias)]), f"{_CLASSIFIER}.shape"))
    node.input[:] = [node.input[0], *added]
    reshape.input[1] = f"{_CLASSIFIER}.shape"
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = len(bias)
    _replace(graph.initializer, kept)
    _replace(graph.node, [*casts, *nodes])
    onnx.checker.check_model(built)
    return bytes(built.SerializeToString())


def _replace(field: Any, values: list[Any]) -> None:  # noqa: ANN401 (protobuf's repeated fields)
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


def _classifier_of(graph: onnx.GraphProto) -> onnx.NodeProto:
    found: onnx.NodeProto | None = next(
        (node for node in graph.node if node.op_type == "Conv" and node.input[1].startswith(_CLASSIFIER)), None
    )
    if found is None:
        raise UserError("not a model that `vp export` wrote with float weights; start from another bundle")
    return found


def _source_of(graph: onnx.GraphProto, name: str) -> str:
    """Return the stored tensor behind a value: itself, or what is cast to it."""
    return next((str(node.input[0]) for node in graph.node if node.op_type == "Cast" and node.output[0] == name), name)
