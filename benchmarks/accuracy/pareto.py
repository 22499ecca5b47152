"""`vp bench pareto`: accuracy against the time of the slowest board, one network against families of several boards.

Which variants a family of n boards runs is chosen on the validation part, for every bound on the time; the test part
tells how accurate that is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import STAGES, VariantSpec
from vp_mqtt.inference.onnx import OnnxPredictor
from vp_mqtt.site.timing import time_in_turns
from vp_mqtt.training.datasets import Dataset, EvaluationSet
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, subsets_of, sum_alive
from vp_mqtt.training.evaluation.evaluate import default_encoder, predict

_MOST_SUBSETS = 1000
_DIGITS = 4


@dataclass(frozen=True)
class Point:
    """A single network, or variants of a family side by side.

    Attributes:
        name: of the family.
        networks: of each variant, width and resolution, as "0.35 at 96", and its stages if it is cut.
        ms: processor time of the slowest model for a picture.
        validation: accuracy of the fused label on the validation part, 0..1.
        test: likewise, on the test part.
    """

    name: str
    networks: tuple[str, ...]
    ms: float
    validation: float
    test: float


def evaluate(bundles: Mapping[str, Bundle], data: Dataset, runs: int) -> dict[str, Any]:
    """Return the points of bundles that were trained on the same data, and split it alike.

    Args:
        bundles: by name, each of one network or more.
        data: their training data.
        runs: of each model, in turns.

    Raises:
        UserError: a bundle does not know the data's classes, or a model or a picture cannot be read.
    """
    times = iter(_times(list(bundles.values()), runs))
    points: list[Point] = []
    for name, bundle in bundles.items():
        points += _points(name, bundle, data, [next(times) for _ in bundle.manifest.variants])
    return {
        "data": data.name,
        "validation_images": len(data.validation),
        "images": len(data.test),
        "points": [asdict(point) for point in points],
    }


def _times(bundles: Sequence[Bundle], runs: int) -> list[float]:
    """Return the time of each variant's model for a picture, bundle by bundle; all take turns."""
    calls = []
    for bundle in bundles:
        for entry in bundle.manifest.variants:
            side = entry.resolution
            model = bundle.model_bytes(entry.index)
            predictor = OnnxPredictor(model, resolution=side, classes=len(bundle.manifest.classes))
            picture = np.zeros((1, 3, side, side), dtype=np.float32)
            calls.append(partial(predictor, picture))
    # The thread's processor time, which other work on the machine changes least.
    return [round(found.ms, 3) for found in time_in_turns(calls, runs, time.thread_time)]


def _points(name: str, bundle: Bundle, data: Dataset, ms: Sequence[float]) -> list[Point]:
    manifest = bundle.manifest
    weights = [variant.weight for variant in manifest.variants]
    shares, labels = [], []
    for pictures in (data.validation, data.test):
        known = EvaluationSet(data.name, data.classes, pictures).for_classes(manifest.classes)
        found = predict(bundle, known, default_encoder())
        shares.append(BatchVotes.select(found, manifest.k).shares(weights, manifest.k))
        labels.append(known.labels)

    def accuracy(part: int, alive: tuple[int, ...]) -> float:
        sums: NDArray[np.float64] = sum_alive(shares[part], alive)
        return round(float((sums.argmax(1) == labels[part]).mean()), _DIGITS)

    points = []
    for size in range(1, len(weights) + 1):
        found_here = []
        for alive in subsets_of(len(weights), size, _MOST_SUBSETS):
            networks = tuple(_network(manifest.variants[variant]) for variant in alive)
            slowest = max(ms[variant] for variant in alive)
            found_here.append(Point(name, networks, slowest, accuracy(0, alive), accuracy(1, alive)))
        points += found_here if size == 1 else best(found_here)
    return points


def _network(spec: VariantSpec) -> str:
    cut = "" if spec.stages == STAGES else f" ({spec.stages} stages)"
    return f"{spec.alpha} at {spec.resolution}{cut}"


def best(points: Sequence[Point]) -> list[Point]:
    """Return the points than which none is as fast and more accurate on the validation part, fastest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: (one.ms, -one.validation)):
        if not kept or point.validation > kept[-1].validation:
            kept.append(point)
    return kept
