"""Starting weights for variants: from a training, a bundle, or a file with ImageNet weights of MobileNetV2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vp_mqtt.bundle.folder import builtin_bundles, open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, STAGES, FamilySpec, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.pretrained.bundle_weights import read_bundle_weights
from vp_mqtt.training.pretrained.keras import fetch_imagenet, nearest_published
from vp_mqtt.training.pretrained.weight_files import COUNTER, Arrays, Convention, as_arrays, read_weights

_BACKBONE = "features."
_FIRST_RESIDUAL = "features.1.conv.0.0.weight"
# The last 1x1 convolution and its batch norm: the head of the base model, replaced by a narrow one in a variant.
_LAST = {"features.18.0.": "head.0.", "features.18.1.": "head.1."}
_UNUSED_ON_PURPOSE = ("features.18.", "classifier.")
_HEAD = "head."
_CLASSIFIER = "classifier."


@dataclass(frozen=True)
class WeightMatch:
    """Which arrays were loaded into a network.

    Attributes:
        loaded: names of the network's arrays that were loaded.
        kept: names of the network's arrays without a counterpart in the file, which keep their random values.
        unused: names of the file's arrays without a counterpart in the network.
    """

    loaded: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class StartingWeights:
    """Weights of one network that variants can start from.

    Attributes:
        arrays: by torchvision's names; head and classifier of a `VariantNetwork` by its names.
        spec: of the `VariantNetwork`; None for other networks.
        classes: class names of the `VariantNetwork`.
        resolution: that they were trained at, in pixels; None if unknown.
    """

    arrays: Arrays
    spec: VariantSpec | None = None
    classes: tuple[str, ...] = ()
    resolution: int | None = None


def load_backbone(network: VariantNetwork, weights: Arrays) -> WeightMatch:
    """Load the weights of the backbone, and of head and classifier if their shapes match; the rest is unchanged.

    Args:
        network: to load into.
        weights: by torchvision's names, convolutions as (out, in / groups, height, width).

    Raises:
        UserError: an array of the backbone is missing or has another shape; nothing is loaded.
    """
    state = {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.endswith(COUNTER)}
    found = dict(weights)
    for theirs, ours in _LAST.items():
        moved = {ours + name.removeprefix(theirs): name for name in weights if name.startswith(theirs)}
        if moved and all(state.get(name) == weights[old].shape for name, old in moved.items()):
            found |= {name: found.pop(old) for name, old in moved.items()}
    for name in (name for name in state if name.startswith(_BACKBONE)):
        if name not in found:
            is_cut = _FIRST_RESIDUAL in found
            reason = "of fewer stages" if is_cut else "not MobileNetV2 in torchvision's or timm's names"
            raise UserError(f"--pretrained: the file has no '{name}': it is {reason}")
        if found[name].shape != state[name]:
            raise UserError(
                f"--pretrained: '{name}' has shape {found[name].shape}, but this family needs {state[name]}: the file "
                "is of another width"
            )
    loaded = {name: torch.from_numpy(array) for name, array in found.items() if state.get(name) == array.shape}
    network.load_state_dict(loaded, strict=False)
    unused = sorted(name for name in found if name not in loaded and not name.startswith(_UNUSED_ON_PURPOSE))
    return WeightMatch(tuple(loaded), tuple(name for name in state if name not in loaded), tuple(unused))


def load_first_fitting(network: VariantNetwork, candidates: Sequence[Arrays]) -> WeightMatch:
    """Load the first weights that fit: a family may have variants of several widths.

    Raises:
        UserError: none fit; nothing is loaded.
    """
    reason = "--pretrained: no file"
    for weights in candidates:
        try:
            return load_backbone(network, weights)
        except UserError as error:
            reason = str(error)
    raise UserError(
        f"{reason}; add weights of every width in the family (one more --pretrained, such as imagenet), or choose a "
        "family that they fit with --family"
    )


def candidates_for(
    starts: Sequence[StartingWeights], spec: VariantSpec, classes: tuple[str, ...], *, with_filters: bool = True
) -> list[Arrays]:
    """Return weights that a variant could start from, best first; `load_first_fitting` loads the first of its width.

    Variants' weights come before those of other networks; within each, the nearest resolution comes first (of two, the
    larger; of several of one resolution, those of an equal variant), and unknown resolutions come last, in their order.
    A classifier is included only if its classes and its number of filters are the same. A variant with fewer stages
    than the pretrained network starts with a random head.

    Args:
        starts: to choose from.
        spec: the variant.
        classes: class names of its family.
        with_filters: initialise a narrow head with filters of another network's wide last convolution.
    """

    def distance(start: StartingWeights) -> tuple[bool, bool, int, int, bool]:
        if start.resolution is None:
            return (start.spec is None, True, 0, 0, False)
        away = abs(start.resolution - spec.resolution)
        return (start.spec is None, False, away, -start.resolution, start.spec != spec)

    def for_variant(start: StartingWeights) -> Arrays:
        theirs = start.spec
        if theirs is None and with_filters and spec.stages == STAGES:
            return {**start.arrays, **_some_filters(start.arrays, spec)}
        if theirs is None:
            return start.arrays
        if theirs.stages != spec.stages:
            return _without(start.arrays, _HEAD, _CLASSIFIER)
        if (start.classes, theirs.knows, theirs.head) == (classes, spec.knows, spec.head):
            return start.arrays
        return _without(start.arrays, _CLASSIFIER)

    return [for_variant(start) for start in sorted(starts, key=distance)]


def own_starts(starts: Sequence[StartingWeights], specs: Sequence[VariantSpec]) -> list[Sequence[StartingWeights]]:
    """Return for each variant of a family the weights it may start from: its own, if the family continues itself.

    Equal variants of several trainings would otherwise all start from those of the first.

    Args:
        starts: to choose from.
        specs: of the family.
    """
    if [start.spec for start in starts] == list(specs):
        return [[start] for start in starts]
    return [starts] * len(specs)


def _without(weights: Arrays, *prefixes: str) -> Arrays:
    return {name: array for name, array in weights.items() if not name.startswith(prefixes)}


def _some_filters(weights: Arrays, spec: VariantSpec) -> Arrays:
    """Return a head for a variant, made of filters of the base model's, by the names in `VariantNetwork`.

    The filters are chosen at random, differently for every resolution. A linear classifier performs equally well on any
    such choice, but variants with different filters make different errors.
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


def read_starting_weights(
    files: Sequence[str], convention: Convention | None, family: FamilySpec
) -> list[StartingWeights]:
    """Read starting weights.

    Args:
        files: each is a file of weights, optionally with the resolution that they were trained at (`FILE@128`); a
            training (its folder or checkpoint, whose averages are used); a bundle (its folder or built-in name); or
            "imagenet" for the published weights of the family's widths, at the nearest resolutions, downloaded if
            necessary.
        convention: how the networks in files of weights were trained; see `read_weights`.
        family: to be trained.

    Raises:
        UserError: a file cannot be read, there are no published weights of a width, or a download fails.
    """
    starts: list[StartingWeights] = []
    for file in files:
        if file == "imagenet":
            wanted = sorted({(variant.alpha, nearest_published(variant.resolution)) for variant in family.variants})
            fetched = [(fetch_imagenet(alpha, resolution), resolution) for alpha, resolution in wanted]
            starts += [
                StartingWeights(read_weights(path, convention), resolution=resolution) for path, resolution in fetched
            ]
            continue
        path, resolution = _split_resolution(file)
        own = _read_bundle(file) or _read_training(path)
        starts += own or [StartingWeights(read_weights(path, convention), resolution=resolution)]
    return starts


def _split_resolution(file: str) -> tuple[Path, int | None]:
    """Return path and resolution of `FILE@128`; None for the resolution of `FILE`."""
    name, at, resolution = file.rpartition("@")
    if not at or not resolution.isdecimal() or Path(file).exists():
        return Path(file), None
    return Path(name), int(resolution)


def _read_bundle(name_or_folder: str) -> list[StartingWeights]:
    """Return the networks of a bundle; an empty list if it is not one.

    Raises:
        UserError: the bundle is damaged, or quantised to 8 bits.
    """
    folder = Path(name_or_folder)
    if not (folder / MANIFEST_NAME).is_file() and (folder.exists() or name_or_folder not in builtin_bundles()):
        return []
    bundle = open_bundle(folder.resolve() if folder.exists() else name_or_folder)
    return [
        StartingWeights(
            read_bundle_weights(bundle, entry.index),
            entry.spec,
            bundle.manifest.classes,
            entry.resolution,
        )
        for entry in bundle.manifest.variants
    ]


def _read_training(path: Path) -> list[StartingWeights]:
    """Return the averaged networks of a training; an empty list if a file is not a checkpoint.

    Raises:
        UserError: the path is a folder, but not that of a training.
    """
    if not path.is_dir() and path.suffix.lower() != Path(CHECKPOINT_NAME).suffix:
        return []
    try:
        trained = Checkpoint.load(path)
        networks = trained.trained_networks()
    except UserError:
        if path.is_dir():
            raise
        return []  # a file of other tensors, or a damaged one: `read_weights` distinguishes them
    specs, classes = trained.origin.family.variants, trained.origin.classes
    states = [as_arrays(network.state_dict()) for network in networks]
    return [
        StartingWeights(
            {name: array for name, array in state.items() if not name.endswith(COUNTER)},
            spec,
            classes,
            spec.resolution,
        )
        for spec, state in zip(specs, states, strict=True)
    ]


def short_name(file: str) -> str:
    """Return a name for weights in messages: that of the file, or of the training's folder."""
    path = Path(file)
    folder = path.parent if path.name == CHECKPOINT_NAME else path
    return folder.resolve().name if folder.is_dir() else path.name
