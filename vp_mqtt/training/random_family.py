"""Families with random weights, for timing: what a network computes does not change how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.inference import runtimes
from vp_mqtt.training.bundle_writer import VariantModel, write_bundle
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.onnx_export import to_onnx
from vp_mqtt.training.quantize import quantize

_CALIBRATION = 8


@dataclass(frozen=True)
class RandomModel:
    """An exported network with random weights.

    Attributes:
        spec: resolution, width and head.
        classes: number of classes.
        params: number of parameters, without batch norm statistics.
        model: ONNX file, see `vp_mqtt.inference.onnx.OnnxPredictor`.
    """

    spec: VariantSpec
    classes: int
    params: int
    model: bytes

    def inference_call(self, runtime: str, threads: int) -> Callable[[], object]:
        """Load the model into a runtime, and return a function that runs it on one random picture.

        Args:
            runtime: name of an installed one.
            threads: threads of the runtime, at least 1.

        Raises:
            UserError: the runtime cannot run the model.
        """
        resolution = self.spec.resolution
        predict = runtimes.load(runtime, self.model, resolution=resolution, classes=self.classes, threads=threads)
        picture = random_input(resolution)
        return lambda: predict(picture)


def random_input(resolution: int, seed: int = 0) -> NDArray[np.float32]:
    """Return a model's input, shape (1, 3, resolution, resolution), float32, -1..1."""
    drawn = np.random.default_rng(seed).uniform(-1, 1, (1, 3, resolution, resolution))
    return drawn.astype(np.float32)


def random_models(
    specs: Sequence[VariantSpec], classes: int, report: Callable[[str], None] = lambda _: None
) -> list[RandomModel]:
    """Build and export networks in float32.

    Args:
        specs: resolution, width and head of each.
        classes: number of classes, at least 2.
        report: called with a line about each network that is being built.
    """
    torch.manual_seed(0)
    built = []
    for spec in specs:
        report(f"building width {spec.alpha:g} at {spec.resolution} pixels")
        network = VariantNetwork(spec, classes).eval()
        params = sum(parameter.numel() for parameter in network.parameters())
        built.append(RandomModel(spec, classes, params, to_onnx(network, spec.resolution, "float32")))
    return built


def in_int8(models: Sequence[RandomModel]) -> list[RandomModel]:
    """Return float32 models quantised to int8."""
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
    """Write the models of a family's variants as a bundle, for nodes to run.

    Args:
        folder: an existing folder.
        family: the family.
        models: its variants, by index.
    """
    classes = models[0].classes
    write_bundle(
        folder,
        [
            VariantModel(one.spec, weight, one.model, one.params)
            for one, weight in zip(models, family.vote_weights(), strict=True)
        ],
        name=family.name,
        classes=tuple(f"class {number}" for number in range(classes)),
        k=min(3, classes // 2),
        provenance={"weights": "random"},
    )
