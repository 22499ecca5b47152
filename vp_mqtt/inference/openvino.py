"""A variant's model in OpenVINO (`pip install openvino`)."""

from __future__ import annotations

import numpy as np
import openvino
from numpy.typing import NDArray

from vp_mqtt.errors import UserError


class OpenVinoPredictor:
    """Runs one variant's model on the CPU, in float32."""

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
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # By default it uses half precision where the processor has it, and votes would depend on the board.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(model), "CPU", settings)
            self._request = compiled.create_infer_request()
            # Passing arrays to `infer` would take a third of the smallest variant's time.
            self._input = self._request.get_input_tensor(0)
            self._output = self._request.get_output_tensor(0)
            result = self(np.zeros((1, 3, resolution, resolution), dtype=np.float32))
        except Exception as error:  # noqa: BLE001 (OpenVINO's errors have no common base class)
            reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")[:200]
            raise UserError(f"OpenVINO cannot run the model ({reason}); try --runtime onnxruntime") from None
        if result.shape != (classes,):
            raise UserError(f"the model gives {result.size} values for {classes} classes; export the bundle again")

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of one picture, shape (classes,), float32.

        Args:
            batch: shape (1, 3, resolution, resolution), float32, RGB, -1..1.
        """
        np.copyto(self._input.data, batch)
        self._request.infer()
        first: NDArray[np.float32] = self._output.data[0].copy()
        return first
