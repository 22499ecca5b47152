"""How fast models run here: MobileNetV2 1.0 at 224 against every variant of a family, in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.inference import runtimes
from vp_mqtt.site.chosen import Precision
from vp_mqtt.site.timing import Times, times_in_turns
from vp_mqtt.training.cost import BASE_FAMILY
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.random_family import RandomModel, in_int8, random_input, random_models


@dataclass(frozen=True)
class VariantLatency:
    """One variant's time for a picture.

    Attributes:
        index: in the family.
        resolution: in pixels.
        times: median and cold median.
        ratio: how many times faster than the base model.
        cold_ratio: the same of the cold medians.
    """

    index: int
    resolution: int
    times: Times
    ratio: float
    cold_ratio: float


@dataclass(frozen=True)
class Comparison:
    """Base model and variants, measured in turns.

    Attributes:
        runtime: name.
        version: of the runtime.
        threads: that the runtime may use.
        precision: "float32" or "int8".
        runs: of each model.
        baseline: times of the base model.
        variants: by index.
    """

    runtime: str
    version: str
    threads: int
    precision: str
    runs: int
    baseline: Times
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
    family: FamilySpec, classes: int, precisions: Sequence[Precision], tell: Callable[[str], None]
) -> dict[Precision, list[RandomModel]]:
    """Return the base model, then the variants of a family, with random weights, in each precision.

    Args:
        family: whose variants are built.
        classes: that they tell apart, at least 2.
        precisions: that are wanted.
        tell: told what is being built.
    """
    base = load_family(BASE_FAMILY).variants
    exact = random_models((*base, *family.variants), classes, tell)
    built: dict[Precision, list[RandomModel]] = {}
    for precision in precisions:
        if precision == "int8":
            tell("calibrating int8")
        built[precision] = in_int8(exact) if precision == "int8" else exact
    return built


def compare(
    models: Sequence[RandomModel], *, runtime: str, threads: int, precision: Precision, runs: int
) -> Comparison:
    """Measure models in one runtime, in turns.

    Args:
        models: the base model, then the variants.
        runtime: name of one that is installed.
        threads: that the runtime may use, at least 1.
        precision: of the models.
        runs: of each model, at least 1.

    Raises:
        UserError: the runtime cannot run a model.
    """
    calls = [call_of(model, runtime, threads) for model in models]
    base, *rest = times_in_turns(calls, runs)
    variants = [
        VariantLatency(index, model.spec.resolution, own, base.ms / own.ms, base.cold_ms / own.cold_ms)
        for index, (model, own) in enumerate(zip(models[1:], rest, strict=True))
    ]
    return Comparison(runtime, runtimes.installed()[runtime], threads, precision, runs, base, tuple(variants))


def call_of(model: RandomModel, runtime: str, threads: int) -> Callable[[], object]:
    """Return a call that runs a model on one picture.

    Args:
        model: to run.
        runtime: name of one that is installed.
        threads: that the runtime may use, at least 1.

    Raises:
        UserError: the runtime cannot run the model.
    """
    resolution = model.spec.resolution
    predict = runtimes.load(runtime, model.model, resolution=resolution, classes=model.classes, threads=threads)
    picture = random_input(resolution)
    return lambda: predict(picture)


def compare_all(
    models: dict[Precision, list[RandomModel]],
    *,
    names: Sequence[str],
    threads: Sequence[int],
    runs: int,
    tell: Callable[[str], None],
) -> Iterator[Comparison]:
    """Measure models in every runtime, with every number of threads and in every precision.

    Args:
        models: from `models_of`.
        names: of installed runtimes.
        threads: that a runtime may use, each at least 1.
        runs: of each model, at least 1.
        tell: told what is being measured.

    Raises:
        UserError: a runtime cannot run a model.
    """
    for runtime in names:
        for precision, some in models.items():
            for number in threads:
                tell(f"{runtime}, {precision}, threads: {number}")
                yield compare(some, runtime=runtime, threads=number, precision=precision, runs=runs)
