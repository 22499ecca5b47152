"""A family with random weights: what a network computes does not change how long it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import MANIFEST_NAME, FamilySpec, Manifest, VariantEntry, VariantSpec
from vp_mqtt.training.export import to_onnx
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.quantize import quantize

_CALIBRATION = 8


@dataclass(frozen=True)
class RandomModel:
    """An exported network with random weights.

    Attributes:
        spec: what makes it.
        classes: that it tells apart.
        params: parameters, batch norm statistics left out.
        model: in ONNX, see `vp_mqtt.inference.onnx.OnnxPredictor`.
    """

    spec: VariantSpec
    classes: int
    params: int
    model: bytes


def random_input(resolution: int, seed: int = 0) -> NDArray[np.float32]:
    """Return a model's input, shape (1, 3, resolution, resolution), float32, -1..1."""
    drawn = np.random.default_rng(seed).uniform(-1, 1, (1, 3, resolution, resolution))
    return drawn.astype(np.float32)


def random_models(
    specs: Sequence[VariantSpec], classes: int, tell: Callable[[str], None] = lambda _: None
) -> list[RandomModel]:
    """Return networks in float32.

    Args:
        specs: what makes each.
        classes: that they tell apart, at least 2.
        tell: told what is being built.
    """
    torch.manual_seed(0)
    built = []
    for spec in specs:
        tell(f"building width {spec.alpha:g} at {spec.resolution} pixels")
        network = VariantNetwork(spec, classes).eval()
        params = sum(parameter.numel() for parameter in network.parameters())
        built.append(RandomModel(spec, classes, params, to_onnx(network, spec.resolution, "float32")))
    return built


def in_int8(models: Sequence[RandomModel]) -> list[RandomModel]:
    """Return float32 models as they are in int8."""
    return [
        RandomModel(
            one.spec,
            one.classes,
            one.params,
            quantize(one.model, [random_input(one.spec.resolution, seed) for seed in range(_CALIBRATION)]),
        )
        for one in models
    ]


def write_random_bundle(folder: Path, family: FamilySpec, models: Sequence[RandomModel]) -> None:
    """Write the models of a family's variants as a bundle into a folder, for nodes to run.

    Args:
        folder: that is there already.
        family: that the models are of.
        models: of its variants, by index.
    """
    entries = []
    for index, (one, weight) in enumerate(zip(models, family.weights(), strict=True)):
        file = f"variant-{index}.onnx"
        (folder / file).write_bytes(one.model)
        entry = VariantEntry(
            **one.spec.model_dump(),
            index=index,
            weight=weight,
            file=file,
            sha256=hashlib.sha256(one.model).hexdigest(),
            params=one.params,
        )
        entries.append(entry)
    classes = models[0].classes
    manifest = Manifest(
        name=family.name,
        classes=tuple(f"class {number}" for number in range(classes)),
        variants=tuple(entries),
        k=min(3, classes // 2),
        provenance={"weights": "random"},
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.canonical())
