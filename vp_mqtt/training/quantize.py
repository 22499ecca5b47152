"""Static int8 quantisation of an exported variant, per channel, calibrated on training pictures."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

CALIBRATION_PICTURES = 256

_INPUT = "picture"
# The stem and the first two blocks: the ranges of their few channels differ widely, and all later layers depend on
# them.
_UNQUANTISED_CONVOLUTIONS = 6


def _is_not_recommendation(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()


class _CalibrationInputs(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: Iterable[NDArray[np.float32]]) -> None:
        self._inputs: Iterator[NDArray[np.float32]] = iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input, or None after the last."""
        picture = next(self._inputs, None)
        return None if picture is None else {_INPUT: picture}


def quantize(model: bytes, inputs: Iterable[NDArray[np.float32]]) -> bytes:
    """Return an ONNX model that computes in 8 bits: weights int8 per channel, activations uint8.

    Weights use 7 bits, -64..64: with 8, sums of products saturate on x86 processors without VNNI, so that labels would
    depend on the board. The softmax and the first six convolutions stay in float32. Jacob et al., "Quantization and
    Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, in ONNX's QDQ form.

    Args:
        model: float32 ONNX model with one input, "picture".
        inputs: to calibrate the ranges of activations, each of the model's input shape.
    """
    # onnxruntime recommends a preprocessing that the exported model does not need.
    logging.getLogger().addFilter(_is_not_recommendation)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(model)
        convolutions = [node.name for node in onnx.load_model_from_string(model).graph.node if node.op_type == "Conv"]
        quantize_static(
            source,
            target,
            _CalibrationInputs(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=convolutions[:_UNQUANTISED_CONVOLUTIONS],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Add", "Clip", "Relu", "ReduceMax", "ReduceMean"],
        )
        quantized = onnx.load(target)
    for node in quantized.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del quantized.graph.value_info[:]
    return bytes(quantized.SerializeToString())
