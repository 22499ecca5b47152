"""ImageNet weights of MobileNetV2 as Keras Applications publishes them, for every width (Google, Apache-2.0)."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.files import cache_folder, write_to_cache
from vp_mqtt.logs import LOGGER

PUBLISHED_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
PUBLISHED_RESOLUTIONS = (96, 128, 160, 192, 224)

_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
_MAX_BYTES = 100_000_000
_TIMEOUT_S = 30.0
_ARRAYS = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_BLOCKS = 16


def _layers() -> dict[str, str]:
    """Return torchvision's names of the layers, by Keras's names."""
    layers = {"Conv1": "features.0.0", "bn_Conv1": "features.0.1", "Conv_1": "features.18.0"}
    layers |= {"Conv_1_bn": "features.18.1"}
    first = {"depthwise": "conv.0.0", "depthwise_BN": "conv.0.1", "project": "conv.1", "project_BN": "conv.2"}
    layers |= {f"expanded_conv_{keras}": f"features.1.{ours}" for keras, ours in first.items()}
    block = {"expand": "conv.0.0", "expand_BN": "conv.0.1", "depthwise": "conv.1.0", "depthwise_BN": "conv.1.1"}
    block |= {"project": "conv.2", "project_BN": "conv.3"}
    for index in range(1, _BLOCKS + 1):
        layers |= {f"block_{index}_{keras}": f"features.{index + 1}.{ours}" for keras, ours in block.items()}
    return layers


_LAYERS = _layers()


def read_keras(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a Keras weights file (`.h5`), by torchvision's names.

    Raises:
        UserError: the file cannot be read as HDF5.
    """
    import h5py  # noqa: PLC0415 (only needed for such files)

    found: dict[str, NDArray[np.float32]] = {}

    def add(name: str, item: Any) -> None:  # noqa: ANN401 (a group or an array of h5py's)
        *_, layer, array = ["", *name.split("/")]
        kind = _ARRAYS.get(array.partition(":")[0])
        if not isinstance(item, h5py.Dataset) or layer not in _LAYERS or kind is None:
            return
        values = np.asarray(item, dtype=np.float32)
        if values.ndim == 4:  # noqa: PLR2004 (height, width, in, out; depth-wise: height, width, channels, 1)
            values = values.transpose((2, 3, 0, 1) if array.startswith("depthwise") else (3, 2, 0, 1))
        found[f"{_LAYERS[layer]}.{kind}"] = np.ascontiguousarray(values)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError):
        raise UserError(f"--pretrained {path}: not a .h5 file of Keras weights") from None
    return found


def nearest_published(resolution: int) -> int:
    """Return the nearest resolution with published weights, in pixels; of two equally near, the larger."""
    return min(PUBLISHED_RESOLUTIONS, key=lambda published: (abs(published - resolution), -published))


def fetch_imagenet(alpha: float, resolution: int, cache: Path | None = None) -> Path:
    """Return the file with the ImageNet weights of a width, downloaded if it is not in the cache.

    Args:
        alpha: width multiplier; weights must be published for it.
        resolution: of the backbone's input; the nearest published one is used.
        cache: folder for the files; by default the user's cache folder.

    Raises:
        UserError: there are no weights of this width, or the download fails.
    """
    if alpha not in PUBLISHED_ALPHAS:
        widths = ", ".join(str(width) for width in PUBLISHED_ALPHAS)
        raise UserError(f"--pretrained imagenet: there are no weights of width {alpha}, only of {widths}")
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{nearest_published(resolution)}_no_top.h5"
    path = (cache or cache_folder()) / name
    if path.is_file():
        return path
    LOGGER.info("downloading %s%s", _URL, name)
    try:
        with urllib.request.urlopen(_URL + name, timeout=_TIMEOUT_S) as answer:  # noqa: S310 (an https address)
            return write_to_cache(path, answer.read(_MAX_BYTES))
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise UserError(
            f"--pretrained imagenet: {_URL}{name} cannot be downloaded ({reason}); download it elsewhere and give the "
            "file"
        ) from None
