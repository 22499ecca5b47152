"""How fast models run here: MobileNetV2 1.0 at 224 against every variant of a family, in one run."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vp_mqtt.family import FamilySpec, VariantSpec
from vp_mqtt.inference import runtimes
from vp_mqtt.inference.runtimes import Predictor
from vp_mqtt.learning.export import to_onnx
from vp_mqtt.learning.families import load_family
from vp_mqtt.learning.networks import VariantNetwork
from vp_mqtt.learning.quantize import quantize

_WARM_UP = 5
_CALIBRATION = 8

Model = tuple[VariantSpec, bytes]


@dataclass(frozen=True)
class VariantLatency:
    """One variant's time for a picture.

    Attributes:
        index: in the family.
        resolution: in pixels.
        ms: median, in ms.
        ratio: how many times faster than the base model.
    """

    index: int
    resolution: int
    ms: float
    ratio: float


@dataclass(frozen=True)
class Comparison:
    """Base model and variants, measured in turns.

    Attributes:
        runtime: name.
        version: of the runtime.
        threads: that the runtime may use.
        precision: "float32" or "int8".
        runs: of each model.
        baseline_ms: median time of the base model, in ms.
        variants: by index.
    """

    runtime: str
    version: str
    threads: int
    precision: str
    runs: int
    baseline_ms: float
    variants: tuple[VariantLatency, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as `vp bench latency --json` prints it."""
        return {
            "runtime": self.runtime,
            "version": self.version,
            "threads": self.threads,
            "precision": self.precision,
            "runs": self.runs,
            "baseline_ms": round(self.baseline_ms, 3),
            "variants": [
                {"index": v.index, "resolution": v.resolution, "ms": round(v.ms, 3), "ratio": round(v.ratio, 2)}
                for v in self.variants
            ],
        }


def random_models(family: FamilySpec, classes: int, precision: str, tell: Callable[[str], None]) -> list[Model]:
    """Return the base model, then the variants, with random weights: what they compute does not change how long.

    Args:
        family: whose variants are built.
        classes: that they tell apart.
        precision: "float32" or "int8".
        tell: told what is being built.
    """
    torch.manual_seed(0)
    models = []
    for spec in (*load_family("base").variants, *family.variants):
        tell(f"building width {spec.alpha} at {spec.resolution} pixels, {precision}")
        network = VariantNetwork(spec, classes).eval()
        model = to_onnx(network, spec.resolution, "float32")
        if precision == "int8":
            model = quantize(model, _pictures(spec.resolution, _CALIBRATION))
        models.append((spec, model))
    return models


def _pictures(resolution: int, count: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (1, 3, resolution, resolution)).astype(np.float32) for _ in range(count)]


def medians_in_turns(
    predictors: Sequence[Predictor],
    pictures: Sequence[NDArray[np.float32]],
    runs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Return the median time of each predictor, in ms; they take turns, so that what disturbs one disturbs all.

    Args:
        predictors: to measure.
        pictures: an input for each.
        runs: of each, at least 1.
        clock: gives seconds.
    """
    times: list[list[float]] = [[] for _ in predictors]
    for round_ in range(_WARM_UP + runs):
        for predict, picture, measured in zip(predictors, pictures, times, strict=True):
            start = clock()
            predict(picture)
            if round_ >= _WARM_UP:
                measured.append((clock() - start) * 1000)
    return [statistics.median(measured) for measured in times]


def compare(models: Sequence[Model], *, runtime: str, threads: int, precision: str, runs: int) -> Comparison:
    """Measure models, the base model first, in one runtime.

    Args:
        models: from `random_models`.
        runtime: name of one that is installed.
        threads: that the runtime may use.
        precision: of the models.
        runs: of each model, at least 1.

    Raises:
        UserError: the runtime cannot run a model.
    """
    pictures = [_pictures(spec.resolution, 1)[0] for spec, _ in models]
    classes = _classes_of(models[0][1])
    predictors = [
        runtimes.load(runtime, model, resolution=spec.resolution, classes=classes, threads=threads)
        for spec, model in models
    ]
    base, *rest = medians_in_turns(predictors, pictures, runs)
    variants = [
        VariantLatency(index, spec.resolution, ms, base / ms)
        for index, ((spec, _), ms) in enumerate(zip(models[1:], rest, strict=True))
    ]
    return Comparison(runtime, runtimes.installed()[runtime], threads, precision, runs, base, tuple(variants))


def _classes_of(model: bytes) -> int:
    import onnx  # noqa: PLC0415 (slow, and only here)

    shape = onnx.load_from_string(model).graph.output[0].type.tensor_type.shape
    return int(shape.dim[1].dim_value)


def machine() -> dict[str, str]:
    """Return what the figures were measured on, for the record."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 (a file of the kernel's)
            name = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), name)
    except OSError:
        pass
    return {"processor": name, "system": platform.platform(), "python": platform.python_version()}
