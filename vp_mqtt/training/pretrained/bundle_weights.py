"""Starting weights from a bundle: a built-in or an exported one.

Export folds each batch norm into the convolution before it. Here it is restored as a norm that only adds the bias;
`networks.measure_statistics` gives it statistics before the training.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.errors import UserError
from vp_mqtt.training.networks import BATCH_NORM_EPS
from vp_mqtt.training.onnx_weights import constants

_NETWORK = "network."
_WEIGHT = ".weight"
_CLASSIFIER = "classifier"


def read_bundle_weights(bundle: Bundle, index: int) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a bundle's variant, by the names in `VariantNetwork`.

    Raises:
        UserError: the model is missing or damaged, is quantised to 8 bits, or was not written by `vp export`.
    """
    what = f"--pretrained {bundle.folder.name}: {bundle.variant(index).file}"
    data = bundle.model_bytes(index)
    try:
        graph = onnx.load_model_from_string(data).graph
        stored = constants(graph)
    except Exception as error:  # noqa: BLE001 (protobuf's and onnx's errors have no common base class)
        raise UserError(f"{what}: not an ONNX model ({error})") from None
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        raise UserError(f"{what}: an int8 model cannot be trained further; start from a float16 or float32 bundle")
    arrays: dict[str, NDArray[np.float32]] = {}
    try:
        for node in (node for node in graph.node if node.op_type == "Conv"):
            module = node.input[1].removeprefix(_NETWORK).removesuffix(_WEIGHT)
            weight, *biases = (np.array(stored[name], dtype=np.float32) for name in node.input[1:])
            bias = biases[0] if biases else np.zeros(len(weight), np.float32)  # torch omits a bias of zeros
            arrays[module + _WEIGHT] = weight
            arrays |= {f"{module}.bias": bias} if module == _CLASSIFIER else _norm_after(module, bias)
    except (LookupError, ValueError):
        raise UserError(f"{what}: not a model that `vp export` wrote; start from another bundle") from None
    return arrays


def _norm_after(module: str, bias: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return the batch norm after a convolution: the module with the next number, set to only add the bias."""
    layer, _, number = module.rpartition(".")
    norm = f"{layer}.{int(number) + 1}"
    ones = np.ones_like(bias)
    return {
        f"{norm}.weight": ones,
        f"{norm}.bias": bias,
        f"{norm}.running_mean": np.zeros_like(bias),
        f"{norm}.running_var": ones - np.float32(BATCH_NORM_EPS),
    }
