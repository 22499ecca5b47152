"""Frozen backbones from pretrained weights: networks that torch builds and converts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.frozen.start import Backbone, Start
from vp_mqtt.training.networks import VariantNetwork, scaled_channels
from vp_mqtt.training.onnx_export import to_onnx
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.pretrained.starting_weights import (
    StartingWeights,
    candidates_for,
    load_first_fitting,
    own_starts,
    read_starting_weights,
    short_name,
)

_FAMILIES = ("mixed", "narrow")
"""The first one that there are weights for is taken."""
_STEM, _STEM_CHANNELS = "features.0.0.weight", 32
_CLASSES = ("0", "1")
"""Of a classifier that is exchanged anyway."""


def start_from_files(files: Sequence[str]) -> Start:
    """Return the backbones that fit what `--pretrained` names: of several widths, where there are weights of both.

    Raises:
        UserError: a file cannot be read, or is of no width that a family is made of.
    """
    names = ", ".join(short_name(file) for file in files)
    families = [load_family(name) for name in _FAMILIES]
    for family in families:
        weights = read_starting_weights(files, None, family)
        own = next((start for start in weights if start.spec is not None), None)
        if own is not None:
            owned = [start for start in weights if start.spec is not None]
            specs = tuple(start.spec for start in owned if start.spec is not None)
            return start_from_weights(owned, FamilySpec(name="own", variants=specs), names)
        if has_widths(weights, family):
            return start_from_weights(weights, family, names)
    raise UserError(f"--pretrained {names}: there are no weights of width 0.35, or of 0.35 and 1.0, in it")


def has_widths(weights: Sequence[StartingWeights], family: FamilySpec) -> bool:
    """Return whether there are weights of every width in a family."""
    widths = {len(start.arrays[_STEM]) for start in weights if _STEM in start.arrays}
    return {scaled_channels(_STEM_CHANNELS, spec.alpha) for spec in family.variants} <= widths


def start_from_weights(weights: Sequence[StartingWeights], family: FamilySpec, name: str) -> Start:
    """Return the backbones of a family with pretrained weights; each variant takes the first that fit.

    Args:
        weights: as `read_starting_weights` reads them.
        family: variants whose heads are in the weights, too, or are made from filters of them.
        name: of the start.

    Raises:
        UserError: no weights are of a variant's width.
    """
    torch.manual_seed(0)
    specs = family.variants
    starts = own_starts(weights, specs)
    return Start(name, tuple(_backbone(own, spec) for own, spec in zip(starts, specs, strict=True)))


def _backbone(weights: Sequence[StartingWeights], spec: VariantSpec) -> Backbone:
    network = VariantNetwork(spec, len(_CLASSES))
    load_first_fitting(network, candidates_for(weights, spec, _CLASSES))
    params = sum(parameter.numel() for parameter in network.parameters())
    return Backbone(spec, to_onnx(network.eval(), spec.resolution, "float16"), len(_CLASSES), params)
