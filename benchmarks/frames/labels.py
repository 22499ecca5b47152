"""What frames of different sizes do to a family's labels, and what they cost, without a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.frames.ways import QUALITY, WEBCAM, Way, scene_of
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.inference.jpeg import Jpeg
from vp_mqtt.inference.picture_folders import find_pictures
from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.inference.pictures import PictureError, decode, prepare
from vp_mqtt.inference.runtimes import load
from vp_mqtt.nodes.board_needs import BoardNeeds, Encoding, FrameSizes
from vp_mqtt.nodes.frame_encoder import FrameEncoder
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, mean_votes

_LIMIT = 100_000_000
_QUALITIES = (QUALITY, 80)
"""Of frames that are encoded anew; the last one is what `vp-camera` uses unless it is told otherwise."""


class _Case:
    """Frames of one way and quality: their bytes, the camera's and the boards' time, and the boards' votes."""

    def __init__(self, name: str, way: Way, encoding: Encoding, quality: int, side: int) -> None:
        self.name = name
        self.way = way
        sizes = FrameSizes(encoding, side, BoardNeeds())
        self._encoder = FrameEncoder(
            size=None, quality=QUALITY, passes_through=True, sizes=sizes, smaller_quality=quality
        )
        self.bytes: list[int] = []
        self.camera_s = 0.0
        self.board_s: NDArray[np.float64] = np.zeros(0)
        self.probabilities: list[NDArray[np.float32]] = []

    def frame(self, delivered: bytes) -> bytes:
        started = time.thread_time()
        encoded = self._encoder.encode(Captured(jpeg=Jpeg.parse(delivered)), _LIMIT)
        self.camera_s += time.thread_time() - started
        if encoded is None:
            raise UserError("a picture does not fit into a frame")
        self.bytes.append(len(encoded.jpeg))
        return encoded.jpeg


def _cases(side: int) -> list[_Case]:
    as_captured, anew = Way("as captured"), Way("encoded anew")
    cases = [_Case(as_captured.name, as_captured, "never", QUALITY, side)]
    cases += [_Case(f"{anew.name}, quality {quality}", anew, "always", quality, side) for quality in _QUALITIES]
    return [*cases, _Case(WEBCAM.name, WEBCAM, "never", QUALITY, side)]


def measure_labels(
    pictures: Path, bundle_name: str, size: tuple[int, int], limit: int | None, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return bytes, processor time without models, and accuracy of each way.

    Args:
        pictures: folder of class folders.
        bundle_name: the family: a folder, or the name of a bundled one.
        size: width and height of the camera's pictures, in pixels.
        limit: use so many pictures; None for all.
        report: called with a line about the progress.

    Raises:
        UserError: bundle or pictures cannot be used.
    """
    bundle = open_bundle(bundle_name)
    manifest = bundle.manifest
    side = max(manifest.preprocessing.side(entry.resolution) for entry in manifest.variants)
    known = {name: index for index, name in enumerate(manifest.classes)}
    files = [file for file in find_pictures(pictures).files if file.parent.name in known]
    if not files:
        raise UserError(f"--pictures {pictures}: no folder there is called like a class of '{manifest.name}'")
    files = files[:: max(1, len(files) // limit)][:limit] if limit else files
    models = [
        load("onnxruntime", bundle.model_bytes(one.index), resolution=one.resolution, classes=len(known), threads=1)
        for one in manifest.variants
    ]
    cases, truth = _cases(side), []
    for number, file in enumerate(files):
        try:
            scene = scene_of(decode(file.read_bytes(), formats=FILES), size)
        except (PictureError, OSError):
            continue
        truth.append(known[file.parent.name])
        for case in cases:
            _vote(case, case.frame(case.way.jpeg(scene)), bundle, models)
        if number % 200 == 199:  # noqa: PLR2004 (now and then)
            report(f"{number + 1} of {len(files)} pictures")
    if not truth:
        raise UserError(f"--pictures {pictures}: none of its pictures can be read")
    return _results(cases, bundle, np.asarray(truth))


def _vote(case: _Case, frame: bytes, bundle: Bundle, models: Sequence[Callable[..., NDArray[np.float32]]]) -> None:
    preprocessing, taken, votes = bundle.manifest.preprocessing, [], []
    for entry, model in zip(bundle.manifest.variants, models, strict=True):
        started = time.thread_time()
        picture = decode(frame, preprocessing.side(entry.resolution), version=preprocessing.version)
        blob = prepare(picture, entry.resolution, preprocessing)
        taken.append(time.thread_time() - started)
        votes.append(np.ravel(model(blob)))
    case.board_s = np.asarray(taken) if not case.board_s.size else case.board_s + taken
    case.probabilities.append(np.stack(votes))


def _results(cases: Sequence[_Case], bundle: Bundle, truth: NDArray[np.int64]) -> list[dict[str, Any]]:
    manifest = bundle.manifest
    weights = [entry.weight for entry in manifest.variants]
    first: NDArray[np.intp] | None = None
    found = []
    for case in cases:
        # Shape (variants, N, classes).
        probabilities = np.stack(case.probabilities, axis=1)
        votes = BatchVotes.select(probabilities, manifest.k)
        right, labels = {}, np.zeros(0, dtype=np.intp)
        for boards in range(1, len(weights) + 1):
            labels = mean_votes(votes, weights, manifest.strongest(boards))[0].argmax(axis=1)
            right[str(boards)] = round(float((labels == truth).mean()), 4)
        first = labels if first is None else first
        found.append(
            {
                "way": case.name,
                "pictures": len(truth),
                "frame_bytes": round(float(np.mean(case.bytes))),
                "camera_ms": round(1000 * case.camera_s / len(truth), 3),
                "board_ms": [round(1000 * float(one) / len(truth), 3) for one in case.board_s],
                "right_by_boards": right,
                "same_label": round(float((labels == first).mean()), 4),
            }
        )
    return found
