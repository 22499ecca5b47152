"""Latency of models alone: MobileNetV2 1.0 at 224 and every variant of a family, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.inference import runtimes
from vp_mqtt.site.selection import Precision
from vp_mqtt.site.timing import CallTimes, time_in_turns
from vp_mqtt.training.cost import BASE_FAMILY
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.random_family import RandomModel, in_int8, random_models, write_random_bundle


@dataclass(frozen=True)
class VariantLatency:
    """One variant's time for a picture.

    Attributes:
        index: index in the family.
        resolution: side of its input, in pixels.
        times: median and cold median.
        ratio: how many times faster than the base model.
        cold_ratio: likewise, of the cold medians.
    """

    index: int
    resolution: int
    times: CallTimes
    ratio: float
    cold_ratio: float


@dataclass(frozen=True)
class ModelLatencies:
    """Base model and variants, measured in turns.

    Attributes:
        runtime: name of the runtime.
        version: version of the runtime.
        threads: threads of the runtime.
        precision: "float32" or "int8".
        runs: runs of each model.
        baseline: times of the base model.
        variants: the variants, by index.
    """

    runtime: str
    version: str
    threads: int
    precision: str
    runs: int
    baseline: CallTimes
    variants: tuple[VariantLatency, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as `vp bench latency --json` prints it."""
        return {
            "runtime": self.runtime,
            "version": self.version,
            "threads": self.threads,
            "precision": self.precision,
            "runs": self.runs,
            "baseline_ms": round(self.baseline.ms, 3),
            "baseline_cold_ms": round(self.baseline.cold_ms, 3),
            "variants": [
                {
                    "index": v.index,
                    "resolution": v.resolution,
                    "ms": round(v.times.ms, 3),
                    "ratio": round(v.ratio, 2),
                    "cold_ms": round(v.times.cold_ms, 3),
                    "cold_ratio": round(v.cold_ratio, 2),
                }
                for v in self.variants
            ],
        }


def models_of(
    family: FamilySpec, classes: int, precisions: Sequence[Precision], report: Callable[[str], None]
) -> dict[Precision, list[RandomModel]]:
    """Build the base model, then the variants of a family, with random weights, in each precision.

    Args:
        family: the family.
        classes: number of classes, at least 2.
        precisions: the precisions to build.
        report: called with a line about each step.
    """
    base = load_family(BASE_FAMILY).variants
    exact = random_models((*base, *family.variants), classes, report)
    built: dict[Precision, list[RandomModel]] = {}
    for precision in precisions:
        if precision == "int8":
            report("calibrating int8")
        built[precision] = in_int8(exact) if precision == "int8" else exact
    return built


def write_variants(folder: Path, family: FamilySpec, models: Sequence[RandomModel]) -> str:
    """Write the variants among models as a bundle, and return its folder.

    Args:
        folder: where the bundle's folder is created, with the family's name.
        family: the family.
        models: the base model, which is left out, then the variants.
    """
    bundle = folder / family.name
    bundle.mkdir()
    write_random_bundle(bundle, family, models[1:])
    return str(bundle)


def compare(
    models: Sequence[RandomModel], *, runtime: str, threads: int, precision: Precision, runs: int
) -> ModelLatencies:
    """Measure models in one runtime, in turns.

    Args:
        models: the base model, then the variants.
        runtime: name of an installed one.
        threads: threads of the runtime, at least 1.
        precision: precision of the models.
        runs: runs of each model, at least 1.

    Raises:
        UserError: the runtime cannot run a model.
    """
    calls = [model.inference_call(runtime, threads) for model in models]
    base, *rest = time_in_turns(calls, runs)
    variants = [
        VariantLatency(index, model.spec.resolution, own, base.ms / own.ms, base.cold_ms / own.cold_ms)
        for index, (model, own) in enumerate(zip(models[1:], rest, strict=True))
    ]
    return ModelLatencies(runtime, runtimes.installed()[runtime], threads, precision, runs, base, tuple(variants))


def compare_all(
    models: dict[Precision, list[RandomModel]],
    *,
    names: Sequence[str],
    threads: Sequence[int],
    runs: int,
    report: Callable[[str], None],
) -> Iterator[ModelLatencies]:
    """Measure models in every runtime, with every number of threads and in every precision.

    Args:
        models: from `models_of`.
        names: names of installed runtimes.
        threads: numbers of threads of a runtime, each at least 1.
        runs: runs of each model, at least 1.
        report: called with a line about each step.

    Raises:
        UserError: a runtime cannot run a model.
    """
    for runtime in names:
        for precision, some in models.items():
            for number in threads:
                report(f"{runtime}, {precision}, threads: {number}")
                yield compare(some, runtime=runtime, threads=number, precision=precision, runs=runs)
