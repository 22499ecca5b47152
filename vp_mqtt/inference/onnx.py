"""Models in ONNX Runtime."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vp_mqtt.errors import UserError


class OnnxModel:
    """Runs a model with one input and one output on the CPU."""

    def __init__(
        self, model: bytes, *, input_shape: tuple[int, ...], output_shape: tuple[int, ...], threads: int = 1
    ) -> None:
        """Load and warm up the model.

        Args:
            model: an ONNX model whose first input and output are float32, of these shapes.
            input_shape: with the batch axis, which is 1.
            output_shape: with the batch axis, which is 1.
            threads: number of threads of the runtime, at least 1; for networks this small, 1 is usually the fastest.

        Raises:
            UserError: the model cannot be loaded, or its input or output has another shape.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait for the next frame would keep the board busy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # One block for all intermediate results would be laid out beside those of the first run: 4 MB for nothing.
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self._input = self._session.get_inputs()[0].name
            self._output = self._session.get_outputs()[0].name
            found = self(np.zeros(input_shape, dtype=np.float32)).shape
        except Exception as error:  # noqa: BLE001 (ONNX Runtime's errors have no common base class)
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"the model cannot be run ({reason}); export the bundle again") from None
        if found != output_shape:
            number, expected = math.prod(found), math.prod(output_shape)
            raise UserError(f"the model gives {number} values where {expected} are expected; export the bundle again")

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the model's output for an input of its shape."""
        result: NDArray[np.float32] = self._session.run([self._output], {self._input: batch})[0]
        return result


class OnnxPredictor:
    """Runs one variant's model."""

    def __init__(self, model: bytes, *, resolution: int, classes: int, threads: int = 1) -> None:
        """Load and warm up the model.

        Args:
            model: an ONNX model with one input, float32 (1, 3, resolution, resolution), and the probabilities,
                float32 (1, classes), as its first output.
            resolution: side of the input, in pixels.
            classes: number of classes of the family.
            threads: number of threads of the runtime, at least 1.

        Raises:
            UserError: the model cannot be loaded, or its input or output has another shape.
        """
        shape = (1, 3, resolution, resolution)
        self._model = OnnxModel(model, input_shape=shape, output_shape=(1, classes), threads=threads)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of one picture, shape (classes,), float32.

        Args:
            batch: shape (1, 3, resolution, resolution), float32, RGB, -1..1.
        """
        first: NDArray[np.float32] = self._model(batch)[0]
        return first
