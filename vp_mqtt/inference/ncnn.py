"""A variant's model in ncnn (`pip install vp-mqtt[ncnn]`)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.inference.ncnn_model import INPUT, OUTPUT, convert


class NcnnPredictor:
    """Runs one variant's model on the CPU, in float32."""

    def __init__(self, model: bytes, *, resolution: int, classes: int, threads: int = 1) -> None:
        """Convert, load and warm up the model.

        Args:
            model: an ONNX model with one input, float32 (1, 3, resolution, resolution), and the probabilities,
                float32 (1, classes), as its first output.
            resolution: side of the input, in pixels.
            classes: how many classes the family knows.
            threads: that the runtime may use, at least 1.

        Raises:
            UserError: the model cannot be converted or loaded, or its input or output has another shape.
        """
        try:
            self._net = _loaded(*convert(model, resolution), threads)
            result = self(np.zeros((1, 3, resolution, resolution), dtype=np.float32))
        except Exception as error:  # noqa: BLE001 (what ncnn's bindings raise is not documented)
            reason = next((line for line in str(error).splitlines() if line.strip()), "")[:200]
            raise UserError(f"ncnn cannot run the model ({reason}); try --runtime onnxruntime") from None
        if result.shape != (classes,):
            raise UserError(f"the model gives {result.size} values for {classes} classes; export the bundle again")

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of one picture, shape (classes,), float32.

        Args:
            batch: shape (1, 3, resolution, resolution), float32, RGB, -1..1.
        """
        # The blob is the picture's own memory, so the picture is kept until the result is there.
        picture = np.ascontiguousarray(batch[0], dtype=np.float32)
        extractor = self._net.create_extractor()
        failed = extractor.input(INPUT, ncnn.Mat(picture))
        if not failed:
            failed, blob = extractor.extract(OUTPUT)
        if failed:
            raise RuntimeError(f"ncnn's error {failed}")
        # A copy: the blob's memory goes back to ncnn with the extractor.
        result: NDArray[np.float32] = np.array(blob, dtype=np.float32)
        return result


def _loaded(param: str, weights: bytes, threads: int) -> ncnn.Net:
    """Return a net, ready to run; see `convert`."""
    net = ncnn.Net()
    options = net.opt
    options.num_threads = threads
    # A board has other things to do than to spin while it waits for the next frame.
    options.openmp_blocktime = 0
    options.use_vulkan_compute = False
    # By default it computes in half precision where the processor has it, and votes depend on the board.
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
    options.use_bf16_storage = False
    # From files, because from memory ncnn does not copy: weights would have to outlive the net, where Python put them.
    with tempfile.TemporaryDirectory(prefix="vp-ncnn-") as folder:
        text, data = Path(folder, "model.param"), Path(folder, "model.bin")
        text.write_text(param, encoding="ascii")
        data.write_bytes(weights)
        failed = net.load_param(str(text)) or net.load_model(str(data))
    if failed:
        raise RuntimeError(f"ncnn's error {failed} while it was loaded")
    return net
