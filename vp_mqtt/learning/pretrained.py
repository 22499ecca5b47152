"""Weights to start from: of a training of ours, or ImageNet's of MobileNetV2, in four file formats; no pickle is run.

Networks here have TensorFlow's conventions: batch norm's epsilon 1e-3, stride-2 convolutions padded right and bottom,
pixels -1..1. Files have torchvision's or timm's names. Weights trained under torchvision's conventions (epsilon 1e-5,
padding 1 all around, pixels normalised by ImageNet's mean and deviation) are converted where that is exact: see
`to_our_conventions`.
"""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.family import FamilySpec, VariantSpec
from vp_mqtt.learning.checkpoint import CHECKPOINT_NAME, Checkpoint
from vp_mqtt.learning.keras import fetch_imagenet, nearest_published, read_keras
from vp_mqtt.learning.networks import BATCH_NORM_EPS, VariantNetwork

Convention = Literal["tensorflow", "torchvision"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
_READERS_HELP = "a .npz, .h5 (Keras), .safetensors, .pt or .pth file"
Arrays = Mapping[str, NDArray[np.float32]]

_BACKBONE = "features."
# The last 1x1 convolution and its batch norm: the head of the base model, replaced by a narrow one in a variant.
_LAST = {"features.18.0.": "head.0.", "features.18.1.": "head.1."}
_UNUSED_ON_PURPOSE = ("features.18.", "classifier.")
_CLASSIFIER = "classifier."
_COUNTER = "num_batches_tracked"
_TORCHVISION_EPS = 1e-5
_TORCHVISION_MEAN = (0.485, 0.456, 0.406)
_TORCHVISION_DEVIATION = (0.229, 0.224, 0.225)
_TIMM_STAGES = (1, 2, 3, 4, 3, 3, 1)


@dataclass(frozen=True)
class Match:
    """What of a file went into a network.

    Attributes:
        loaded: names of the network's arrays that were loaded.
        kept: names of the network's arrays that the file has nothing for: they keep their random values.
        unused: names in the file that the network has no place for.
    """

    loaded: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """Weights that variants may start from.

    Attributes:
        arrays: by torchvision's names, those of the head and the classifier by ours if they are of a network of ours.
        spec: the network of ours that they are of; None for a file from elsewhere, which serves every resolution.
        classes: that the network of ours knows.
        resolution: that they were trained at, in pixels; None where that is not known.
    """

    arrays: Arrays
    spec: VariantSpec | None = None
    classes: tuple[str, ...] = ()
    resolution: int | None = None


def read_weights(path: Path, convention: Convention | None = None) -> dict[str, NDArray[np.float32]]:
    """Read arrays by torchvision's names, in the conventions of the networks here.

    Args:
        path: a `.npz`, Keras's `.h5`, a `.safetensors`, or a `.pt` or `.pth` of tensors only; no pickle is run.
        convention: how the file's network was trained; by default TensorFlow's for `.npz` and `.h5`, torchvision's for
            the others.

    Raises:
        UserError: the file cannot be read, or holds anything but plain arrays.
    """
    ending = path.suffix.lower()
    if ending not in _READERS:
        raise UserError(f"--pretrained {path}: give {_READERS_HELP}, the folder of a training, or 'imagenet'")
    if not path.is_file():
        raise UserError(f"--pretrained {path}: no such file")
    try:
        arrays = _READERS[ending](path)
    except OSError as error:
        if error.strerror:
            raise UserError(f"--pretrained {path}: {error.strerror}") from None
        raise UserError(f"--pretrained {path}: damaged, or not what its ending says") from None
    arrays = {_torchvision_name(name): array for name, array in arrays.items() if not name.endswith(_COUNTER)}
    chosen = convention or ("tensorflow" if ending in _TENSORFLOW_ENDINGS else "torchvision")
    return to_our_conventions(arrays) if chosen == "torchvision" else arrays


def _read_npz(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], dtype=np.float32) for name in archive.files}
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(f"--pretrained {path}: not a .npz file of plain arrays") from None


def _read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    from safetensors import SafetensorError  # noqa: PLC0415 (only for who has such a file)
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return _as_arrays(load_file(path))
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
    return _as_arrays(content)


def _as_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.float32]]:
    return {name: tensor.detach().to(torch.float32).numpy() for name, tensor in tensors.items()}


_READERS: dict[str, Callable[[Path], dict[str, NDArray[np.float32]]]] = {
    ".npz": _read_npz,
    ".h5": read_keras,
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
}
_TENSORFLOW_ENDINGS = {".npz", ".h5"}


def _timm_blocks() -> dict[tuple[int, int], int]:
    """Return the index of every block in torchvision's flat list, by timm's (stage, block)."""
    places = [(stage, block) for stage, blocks in enumerate(_TIMM_STAGES) for block in range(blocks)]
    return {place: index for index, place in enumerate(places, start=1)}


_TIMM_BLOCKS = _timm_blocks()
# A block's layers, as timm names them, as torchvision does: without and with expansion.
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
    """Return torchvision's name for one of timm's (`mobilenetv2_*`); any other as it is."""
    name = name.removeprefix("module.")
    block = re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)\.(\w+)", name)
    if block is not None:
        place = (int(block[1]), int(block[2]))
        layers = _TIMM_DEPTHWISE if place[0] == 0 else _TIMM_INVERTED
        if place in _TIMM_BLOCKS and block[3] in layers:
            return f"features.{_TIMM_BLOCKS[place]}.{layers[block[3]]}.{block[4]}"
    outer, _, kind = name.rpartition(".")
    return f"{_TIMM_OUTER[outer]}.{kind}" if outer in _TIMM_OUTER else name


def to_our_conventions(arrays: Arrays) -> dict[str, NDArray[np.float32]]:
    """Convert weights that were trained under torchvision's conventions.

    Exact are the batch norms (variance and scale take up the difference of the epsilons) and the pixels' scale and
    offset (the first convolution and its batch norm take them up; at the picture's border, where zeros are padded,
    only nearly). The padding of stride-2 convolutions, one pixel to the side, is left to fine-tuning.
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


def load_backbone(network: VariantNetwork, weights: Arrays) -> Match:
    """Load the backbone's weights, and those of the head if it is the base model's; the rest keeps its values.

    Args:
        network: whose weights are loaded.
        weights: by torchvision's names, convolutions as (out, in / groups, height, width).

    Raises:
        UserError: an array of the backbone is missing or has another shape; nothing is loaded then.
    """
    state = {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.endswith(_COUNTER)}
    found = dict(weights)
    for theirs, ours in _LAST.items():
        moved = {ours + name.removeprefix(theirs): name for name in weights if name.startswith(theirs)}
        if moved and all(state.get(name) == weights[old].shape for name, old in moved.items()):
            found |= {name: found.pop(old) for name, old in moved.items()}
    for name in (name for name in state if name.startswith(_BACKBONE)):
        if name not in found:
            raise UserError(
                f"--pretrained: the file has no '{name}': it is not MobileNetV2 in torchvision's or timm's names"
            )
        if found[name].shape != state[name]:
            raise UserError(
                f"--pretrained: '{name}' has shape {found[name].shape}, but this family needs {state[name]}: the file "
                "is of another width"
            )
    loaded = {name: torch.from_numpy(array) for name, array in found.items() if state.get(name) == array.shape}
    network.load_state_dict(loaded, strict=False)
    unused = sorted(name for name in found if name not in loaded and not name.startswith(_UNUSED_ON_PURPOSE))
    return Match(tuple(loaded), tuple(name for name in state if name not in loaded), tuple(unused))


def load_fitting(network: VariantNetwork, files: Sequence[Arrays]) -> Match:
    """Load the first of several files that fits: families may have variants of several widths.

    Raises:
        UserError: none fits; nothing is loaded then.
    """
    refused: UserError | None = None
    for weights in files:
        try:
            return load_backbone(network, weights)
        except UserError as error:
            refused = error
    raise refused or UserError("--pretrained: no file")


def in_order(
    starts: Sequence[Start], spec: VariantSpec, classes: tuple[str, ...], *, with_filters: bool = True
) -> list[Arrays]:
    """Return what a variant may start from, the best first, for `load_fitting` to take the first of its width.

    Networks of ours come before files from elsewhere, and of either those of the nearest resolution first, of two the
    larger; files of which it is not known come last, in their order. A classifier is left out unless it tells the same
    classes apart from as many filters.

    Args:
        starts: to choose from.
        spec: the variant.
        classes: that its family is to know.
        with_filters: a narrow head starts from as many filters of the file's wide last convolution.
    """

    def distance(start: Start) -> tuple[bool, bool, int, int]:
        if start.resolution is None:
            return (start.spec is None, True, 0, 0)
        return (start.spec is None, False, abs(start.resolution - spec.resolution), -start.resolution)

    def for_variant(start: Start) -> Arrays:
        theirs = start.spec
        if theirs is None and with_filters:
            return {**start.arrays, **_some_filters(start.arrays, spec)}
        if theirs is None or (start.classes, theirs.knows, theirs.head) == (classes, spec.knows, spec.head):
            return start.arrays
        return {name: array for name, array in start.arrays.items() if not name.startswith(_CLASSIFIER)}

    return [for_variant(start) for start in sorted(starts, key=distance)]


def _some_filters(weights: Arrays, spec: VariantSpec) -> Arrays:
    """Return a head for a variant out of the filters of the base model's, by the names in `VariantNetwork`.

    They are drawn by chance, others for every resolution: which ones hardly matters, since a linear classifier does as
    well on one lot as on another, but variants that look at different ones err in different places.
    """
    last = {theirs: ours for theirs, ours in _LAST.items() if any(name.startswith(theirs) for name in weights)}
    counts = {array.shape[:1] for name, array in weights.items() for theirs in last if name.startswith(theirs)}
    if len(last) != len(_LAST) or len(counts) != 1:
        return {}
    (filters,) = counts.pop() or (0,)
    if filters <= spec.head:
        return {}
    chosen = np.sort(np.random.default_rng(spec.resolution).permutation(filters)[: spec.head])
    return {
        ours + name.removeprefix(theirs): array[chosen]
        for name, array in weights.items()
        for theirs, ours in last.items()
        if name.startswith(theirs)
    }


def weights_of(files: Sequence[str], convention: Convention | None, family: FamilySpec) -> list[Start]:
    """Read weights to start from.

    Args:
        files: each a file of weights, perhaps with the resolution that they were trained at (`FILE@128`); a training of
            ours (its folder or checkpoint, of which the averages are taken); or "imagenet", which stands for the
            published weights of every width and resolution nearest to the family's, fetched if need be.
        convention: how the networks of files from elsewhere were trained; see `read_weights`.
        family: to be trained.

    Raises:
        UserError: a file cannot be read, a width is not published, or there is no network.
    """
    starts: list[Start] = []
    for file in files:
        if file == "imagenet":
            wanted = sorted({(variant.alpha, nearest_published(variant.resolution)) for variant in family.variants})
            fetched = [(fetch_imagenet(alpha, resolution), resolution) for alpha, resolution in wanted]
            starts += [Start(read_weights(path, convention), resolution=resolution) for path, resolution in fetched]
            continue
        path, resolution = _resolution_of(file)
        starts += _read_training(path) or [Start(read_weights(path, convention), resolution=resolution)]
    return starts


def _resolution_of(file: str) -> tuple[Path, int | None]:
    """Return the path in `FILE@128` and the resolution, if there is one."""
    name, at, resolution = file.rpartition("@")
    if not at or not resolution.isdecimal() or Path(file).exists():
        return Path(file), None
    return Path(name), int(resolution)


def _read_training(path: Path) -> list[Start]:
    """Return the averaged networks of a training of ours; none if a file is something else.

    Raises:
        UserError: the path is a folder, but not of a training.
    """
    if not path.is_dir() and path.suffix.lower() != Path(CHECKPOINT_NAME).suffix:
        return []
    try:
        trained = Checkpoint.load(path)
        networks = trained.trained_networks()
    except UserError:
        if path.is_dir():
            raise
        return []  # other tensors than a checkpoint's, or a damaged file: `read_weights` tells them apart
    specs, classes = trained.origin.family.variants, trained.origin.classes
    states = [_as_arrays(network.state_dict()) for network in networks]
    return [
        Start(
            {name: array for name, array in state.items() if not name.endswith(_COUNTER)},
            spec,
            classes,
            spec.resolution,
        )
        for spec, state in zip(specs, states, strict=True)
    ]


def short_name(file: str) -> str:
    """Return what to call weights by: the name of the file, or of the training's folder."""
    path = Path(file)
    folder = path.parent if path.name == CHECKPOINT_NAME else path
    return folder.resolve().name if folder.is_dir() else path.name
