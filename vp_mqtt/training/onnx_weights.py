"""How weights are stored in ONNX models: large ones as float16, with a cast back."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIN_HALVED_VALUES = 256
"""Arrays with fewer values are stored as float32."""


def halve_weights(model: onnx.ModelProto) -> None:
    """Store large float32 initialisers as float16, with a cast back that runtimes fold when they load the model."""
    graph = model.graph
    casts = []
    for index, tensor in enumerate(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) >= MIN_HALVED_VALUES:
            stored = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.half")
            casts.append(helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT))
            graph.initializer[index].CopyFrom(stored)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
