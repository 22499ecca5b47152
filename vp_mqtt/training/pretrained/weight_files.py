"""Reads weights of MobileNetV2 in four file formats and two conventions; no pickle is executed.

The networks follow TensorFlow's conventions: batch norm epsilon 1e-3, stride-2 convolutions padded right and bottom,
pixels -1..1. Files have torchvision's or timm's names. Weights trained under torchvision's conventions (epsilon 1e-5,
padding 1 on all sides, pixels normalised by ImageNet's mean and deviation) are converted where that is exact: see
`to_tensorflow_conventions`.
"""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.training.networks import BATCH_NORM_EPS
from vp_mqtt.training.pretrained.keras import read_keras

Convention = Literal["tensorflow", "torchvision"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
Arrays = Mapping[str, NDArray[np.float32]]

COUNTER = "num_batches_tracked"
"""Suffix of the only entries that are not weights: the batches that a batch norm has seen."""

_READERS_HELP = "a .npz, .h5 (Keras), .safetensors, .pt or .pth file"
_TORCHVISION_EPS = 1e-5
_TORCHVISION_MEAN = (0.485, 0.456, 0.406)
_TORCHVISION_DEVIATION = (0.229, 0.224, 0.225)
_TIMM_STAGES = (1, 2, 3, 4, 3, 3, 1)


def read_weights(path: Path, convention: Convention | None = None) -> dict[str, NDArray[np.float32]]:
    """Read arrays by torchvision's names, in TensorFlow's conventions.

    Args:
        path: a `.npz`, Keras's `.h5`, a `.safetensors`, or a `.pt` or `.pth` of tensors only; no pickle is executed.
        convention: how the file's network was trained; by default TensorFlow's for `.npz` and `.h5`, torchvision's for
            the others.

    Raises:
        UserError: the file cannot be read, or holds anything other than plain arrays.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise UserError(f"--pretrained {path}: give {_READERS_HELP}, a training or a bundle, or 'imagenet'")
    if not path.is_file():
        raise UserError(f"--pretrained {path}: no such file")
    try:
        arrays = _READERS[suffix](path)
    except OSError as error:
        if error.strerror:
            raise UserError(f"--pretrained {path}: {error.strerror}") from None
        raise UserError(f"--pretrained {path}: damaged, or not of the format that its suffix names") from None
    arrays = {_torchvision_name(name): array for name, array in arrays.items() if not name.endswith(COUNTER)}
    chosen = convention or ("tensorflow" if suffix in _TENSORFLOW_SUFFIXES else "torchvision")
    return to_tensorflow_conventions(arrays) if chosen == "torchvision" else arrays


def _read_npz(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], dtype=np.float32) for name in archive.files}
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(f"--pretrained {path}: not a .npz file of plain arrays") from None


def _read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    from safetensors import SafetensorError  # noqa: PLC0415 (only needed for such files)
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return as_arrays(load_file(path))
    except (SafetensorError, ValueError, TypeError):
        raise UserError(f"--pretrained {path}: not a .safetensors file") from None


def _read_torch(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError):
        raise UserError(
            f"--pretrained {path}: not a file of tensors only; save the network's state_dict, not the network"
        ) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise UserError(f"--pretrained {path}: not a state_dict")
    return as_arrays(content)


def as_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.float32]]:
    """Return tensors, of any shape, as float32 arrays of the same names."""
    return {name: tensor.detach().to(torch.float32).numpy() for name, tensor in tensors.items()}


_READERS: dict[str, Callable[[Path], dict[str, NDArray[np.float32]]]] = {
    ".npz": _read_npz,
    ".h5": read_keras,
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
}
_TENSORFLOW_SUFFIXES = {".npz", ".h5"}


def _timm_blocks() -> dict[tuple[int, int], int]:
    """Return the index of every block in torchvision's flat list, by timm's (stage, block)."""
    places = [(stage, block) for stage, blocks in enumerate(_TIMM_STAGES) for block in range(blocks)]
    return {place: index for index, place in enumerate(places, start=1)}


_TIMM_BLOCKS = _timm_blocks()
# Names of a block's layers, timm's to torchvision's: without and with expansion.
_TIMM_DEPTHWISE = {"conv_dw": "conv.0.0", "bn1": "conv.0.1", "conv_pw": "conv.1", "bn2": "conv.2"}
_TIMM_INVERTED = {
    "conv_pw": "conv.0.0",
    "bn1": "conv.0.1",
    "conv_dw": "conv.1.0",
    "bn2": "conv.1.1",
    "conv_pwl": "conv.2",
    "bn3": "conv.3",
}
_TIMM_OUTER = {
    "conv_stem": "features.0.0",
    "bn1": "features.0.1",
    "conv_head": "features.18.0",
    "bn2": "features.18.1",
    "classifier": "classifier.1",
}


def _torchvision_name(name: str) -> str:
    """Return torchvision's name for one of timm's (`mobilenetv2_*`); any other name unchanged."""
    name = name.removeprefix("module.")
    block = re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)\.(\w+)", name)
    if block is not None:
        place = (int(block[1]), int(block[2]))
        layers = _TIMM_DEPTHWISE if place[0] == 0 else _TIMM_INVERTED
        if place in _TIMM_BLOCKS and block[3] in layers:
            return f"features.{_TIMM_BLOCKS[place]}.{layers[block[3]]}.{block[4]}"
    outer, _, kind = name.rpartition(".")
    return f"{_TIMM_OUTER[outer]}.{kind}" if outer in _TIMM_OUTER else name


def to_tensorflow_conventions(arrays: Arrays) -> dict[str, NDArray[np.float32]]:
    """Convert weights that were trained under torchvision's conventions.

    The conversion is exact for batch norms (variance and scale absorb the difference of the epsilons) and for the
    pixels' scale and offset (the first convolution and its batch norm absorb them; only nearly at the border, where
    zeros are padded). The padding of stride-2 convolutions, shifted by one pixel, is left to fine-tuning.
    """
    converted = {name: np.array(array, dtype=np.float32) for name, array in arrays.items()}
    for name, variance in [item for item in converted.items() if item[0].endswith(".running_var")]:
        theirs = variance + _TORCHVISION_EPS
        np.maximum(theirs - BATCH_NORM_EPS, 0, out=variance)
        scale = name.removesuffix("running_var") + "weight"
        if scale in converted:
            converted[scale] *= np.sqrt((variance + BATCH_NORM_EPS) / theirs)
    stem, mean = "features.0.0.weight", "features.0.1.running_mean"
    if stem in converted and mean in converted and converted[stem].shape[1:2] == (3,):
        # x is ours, -1..1; theirs is ((x + 1) / 2 - mean) / deviation.
        deviation = np.array(_TORCHVISION_DEVIATION, dtype=np.float32)
        offset = (0.5 - np.array(_TORCHVISION_MEAN, dtype=np.float32)) / deviation
        converted[mean] -= (converted[stem].sum((2, 3)) * offset).sum(1)
        converted[stem] *= (0.5 / deviation)[np.newaxis, :, np.newaxis, np.newaxis]
    return converted
