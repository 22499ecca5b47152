"""How fast each variant runs on this board, in the fastest runtime for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.errors import UserError
from vp_mqtt.inference import pictures, runtimes
from vp_mqtt.site.machine import describe_machine
from vp_mqtt.site.synthetic_photos import synthetic_photo
from vp_mqtt.site.timing import CallTimes, time_in_turns


@dataclass(frozen=True)
class Candidate:
    """A variant to measure.

    Attributes:
        index: index in the family.
        resolution: side of its input, in pixels.
        classes: number of classes.
        model: ONNX file, see `vp_mqtt.inference.onnx.OnnxPredictor`.
    """

    index: int
    resolution: int
    classes: int
    model: bytes


@dataclass(frozen=True)
class SpeedSettings:
    """What is measured.

    Attributes:
        runtimes: names of installed runtimes.
        threads: threads of a runtime, at least 1.
        runs: runs of each variant in each runtime, at least 1.
        size: width and height of the camera's frames, in pixels.
        quality: JPEG quality of the frames, 1..100.
        preprocessing: the family's preprocessing.
    """

    runtimes: Sequence[str]
    threads: int
    runs: int
    size: tuple[int, int]
    quality: int
    preprocessing: Preprocessing


def candidates_of(bundle: Bundle) -> list[Candidate]:
    """Return the variants of a bundle.

    Raises:
        UserError: a model is missing or not the one that the manifest names.
    """
    classes = len(bundle.manifest.classes)
    return [
        Candidate(entry.index, entry.resolution, classes, bundle.model_bytes(entry.index))
        for entry in bundle.manifest.variants
    ]


def measure(
    candidates: Sequence[Candidate], settings: SpeedSettings, report: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure, and return what `vp bench speed --json` prints, without the names of family and board.

    Args:
        candidates: the variants, by index.
        settings: what to measure.
        report: called with a line about each runtime that cannot run a model.

    Raises:
        UserError: no runtime can run a model.
    """
    # As in a node: OpenCV's threads would compete with the model's.
    cv2.setNumThreads(1)
    jpeg = pictures.encode_jpeg(synthetic_photo(*settings.size, 0), settings.quality)
    calls: list[Callable[[], object]] = []
    places: list[tuple[int, str]] = []
    for candidate in candidates:
        batch = _prepare(jpeg, candidate.resolution, settings.preprocessing)
        calls.append(_prepare_call(jpeg, candidate.resolution, settings.preprocessing))
        places.append((candidate.index, ""))
        for runtime in settings.runtimes:
            try:
                calls.append(_predict_call(candidate, runtime, settings.threads, batch))
            except UserError as error:
                report(str(error))
                continue
            places.append((candidate.index, runtime))
    times = dict(zip(places, time_in_turns(calls, settings.runs), strict=True))
    return {
        "threads": settings.threads,
        "runs": settings.runs,
        "size": list(settings.size),
        "jpeg_bytes": len(jpeg),
        "variants": [_summary(candidate, times, settings.runtimes) for candidate in candidates],
        "machine": describe_machine(),
    }


def _summary(candidate: Candidate, times: dict[tuple[int, str], CallTimes], names: Sequence[str]) -> dict[str, Any]:
    own = {name: times[candidate.index, name] for name in names if (candidate.index, name) in times}
    if not own:
        raise UserError(f"variant {candidate.index}: no runtime can run its model; export the bundle again")
    fastest = min(own, key=lambda name: own[name].ms)
    prepare = times[candidate.index, ""].ms
    return {
        "index": candidate.index,
        "resolution": candidate.resolution,
        "runtime": fastest,
        "ms": round(own[fastest].ms, 3),
        "cold_ms": round(own[fastest].cold_ms, 3),
        "prepare_ms": round(prepare, 3),
        "total_ms": round(own[fastest].ms + prepare, 3),
        "by_runtime": {name: round(one.ms, 3) for name, one in own.items()},
    }


def _prepare(jpeg: bytes, resolution: int, preprocessing: Preprocessing) -> NDArray[np.float32]:
    picture = pictures.decode(jpeg, preprocessing.side(resolution), version=preprocessing.version)
    return pictures.prepare(picture, resolution, preprocessing)


def _prepare_call(jpeg: bytes, resolution: int, preprocessing: Preprocessing) -> Callable[[], object]:
    return lambda: _prepare(jpeg, resolution, preprocessing)


def _predict_call(candidate: Candidate, runtime: str, threads: int, batch: NDArray[np.float32]) -> Callable[[], object]:
    predict = runtimes.load(
        runtime, candidate.model, resolution=candidate.resolution, classes=candidate.classes, threads=threads
    )
    return lambda: predict(batch)
