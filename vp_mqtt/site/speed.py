"""How fast each variant runs on this board, in the runtime that is the fastest for it."""

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
from vp_mqtt.site.machine import machine
from vp_mqtt.site.photos import photo_like
from vp_mqtt.site.timing import Times, times_in_turns


@dataclass(frozen=True)
class Candidate:
    """A variant to measure.

    Attributes:
        index: in the family.
        resolution: in pixels.
        classes: that it tells apart.
        model: in ONNX, see `vp_mqtt.inference.onnx.OnnxPredictor`.
    """

    index: int
    resolution: int
    classes: int
    model: bytes


@dataclass(frozen=True)
class SpeedSettings:
    """What is measured.

    Attributes:
        runtimes: names of installed ones.
        threads: that a runtime may use, at least 1.
        runs: of each variant in each runtime, at least 1.
        size: width and height of the camera's frames, in pixels.
        quality: of their JPEGs, 1..100.
        preprocessing: the family's.
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
    candidates: Sequence[Candidate], settings: SpeedSettings, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure, and return what `vp bench speed --json` prints, but for the names of family and board.

    Args:
        candidates: the variants, by index.
        settings: what to measure.
        tell: told of runtimes that cannot run a model.

    Raises:
        UserError: no runtime can run a model.
    """
    # As nodes have it: its own threads would compete with the model's.
    cv2.setNumThreads(1)
    jpeg = pictures.encode_jpeg(photo_like(*settings.size, 0), settings.quality)
    calls: list[Callable[[], object]] = []
    places: list[tuple[int, str]] = []
    for candidate in candidates:
        batch = _prepared(jpeg, candidate.resolution, settings.preprocessing)
        calls.append(_preparing(jpeg, candidate.resolution, settings.preprocessing))
        places.append((candidate.index, ""))
        for runtime in settings.runtimes:
            try:
                calls.append(_predicting(candidate, runtime, settings.threads, batch))
            except UserError as error:
                tell(str(error))
                continue
            places.append((candidate.index, runtime))
    times = dict(zip(places, times_in_turns(calls, settings.runs), strict=True))
    return {
        "threads": settings.threads,
        "runs": settings.runs,
        "size": list(settings.size),
        "jpeg_bytes": len(jpeg),
        "variants": [_told(candidate, times, settings.runtimes) for candidate in candidates],
        "machine": machine(),
    }


def _told(candidate: Candidate, times: dict[tuple[int, str], Times], names: Sequence[str]) -> dict[str, Any]:
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


def _prepared(jpeg: bytes, resolution: int, preprocessing: Preprocessing) -> NDArray[np.float32]:
    picture = pictures.decode(jpeg, resolution + preprocessing.margin)
    return pictures.prepare(picture, resolution, preprocessing)


def _preparing(jpeg: bytes, resolution: int, preprocessing: Preprocessing) -> Callable[[], object]:
    return lambda: _prepared(jpeg, resolution, preprocessing)


def _predicting(candidate: Candidate, runtime: str, threads: int, batch: NDArray[np.float32]) -> Callable[[], object]:
    predict = runtimes.load(
        runtime, candidate.model, resolution=candidate.resolution, classes=candidate.classes, threads=threads
    )
    return lambda: predict(batch)
