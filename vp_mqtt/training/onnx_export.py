"""Converts networks to ONNX, and compares the result with torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm
from vp_mqtt.training.onnx_weights import Stored, store_weights

OPSET = 18
_IR_VERSION = 10
_COMPARED_INPUTS = 8


class _Probabilities(nn.Module):
    def __init__(self, network: VariantNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        return self.network.probabilities(picture)


def to_onnx(network: VariantNetwork, resolution: int, weights: Stored) -> bytes:
    """Return a variant as ONNX: float32 (1, 3, resolution, resolution) in, "probabilities" (1, classes) out."""
    module = _Probabilities(fold_batch_norm(network)).eval()
    example = torch.zeros(1, 3, resolution, resolution)
    return module_to_onnx(module, example, input_name="picture", output_name="probabilities", weights=weights)


def module_to_onnx(
    module: nn.Module,
    example: Tensor,
    *,
    input_name: str,
    output_name: str,
    weights: Stored = "float32",
) -> bytes:
    """Return a module as an ONNX model.

    Args:
        module: in evaluation mode.
        example: an input of the only shape that the model will accept.
        input_name: of the model's input.
        output_name: of the model's output.
        weights: how large weights are stored; the model computes in float32.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=[output_name],
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch returned no ONNX program")
    model = program.model_proto
    model.ir_version = _IR_VERSION
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    store_weights(model, weights)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def largest_difference(network: VariantNetwork, model: bytes, resolution: int) -> float:
    """Return the largest difference between ONNX Runtime's and torch's probabilities, 0..1, on random inputs."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for _ in range(_COMPARED_INPUTS):
        picture = torch.rand(1, 3, resolution, resolution, generator=generator) * 2 - 1
        with torch.inference_mode():
            expected = network.probabilities(picture).numpy()
        (found,) = session.run(["probabilities"], {"picture": picture.numpy()})
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest
