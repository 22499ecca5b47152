"""`vp bench states`: the changes of a camera's state, by setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.states.measure import Frame, evaluate, thin_out, true_changes
from benchmarks.states.recording import Recording, read_others
from benchmarks.states.scenes import FPS, NOTHING_KNOWN, shots
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.confidence import Unknown, confidences
from vp_mqtt.fusion.state import SeenLabel, StateRules
from vp_mqtt.fusion.tally import Tally
from vp_mqtt.training.datasets import Dataset

HEARTBEAT_S = 4.0
_OTHERS = 200
_KEPT = 0.95
# Labels, window, hysteresis, and dwell in s; the first one is no state machine: every label is a state.
SETTINGS = (
    (1, 1, 0, 0.0),
    (2, 3, 1, 0.0),
    (2, 3, 1, 2.0),
    (3, 5, 0, 0.0),
    (3, 5, 1, 0.0),
    (3, 5, 1, 1.0),
    (3, 5, 1, 2.0),
    (3, 5, 2, 2.0),
    (4, 7, 1, 2.0),
    (5, 9, 1, 2.0),
    (8, 15, 1, 2.0),
)
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class StatesBenchmark:
    """What is measured.

    Attributes:
        bundle: the family.
        data: its training data, split in the same way.
        others: folder of pictures that show none of its classes.
        objects: of its classes that come and go before the camera.
        folder: where recorded votes are kept, and read from if they are there; None to keep none.
    """

    bundle: Bundle
    data: Dataset
    others: Path
    objects: int
    folder: Path | None

    def run(self, report: Callable[[str], None]) -> dict[str, Any]:
        """Return the results on the validation part, to choose by, and on the test part."""
        manifest = self.bundle.manifest
        recordings = {part: self._record(part, seed, report) for seed, part in enumerate(("validation", "test"), 1)}
        unknown: Unknown = "auto"
        if manifest.calibration is None:
            unknown = _fit_threshold(recordings["validation"], manifest)
        return {
            "unknown": unknown,
            "objects": self.objects,
            "heartbeat_s": HEARTBEAT_S,
            **{part: _evaluate(one, manifest, unknown) for part, one in recordings.items()},
        }

    def _record(self, part: str, seed: int, report: Callable[[str], None]) -> Recording:
        path = None if self.folder is None else self.folder / f"{self.bundle.manifest.short_digest.hex()}-{part}.npz"
        if path is not None and path.exists():
            return Recording.load(path)
        pictures = self.data.validation if part == "validation" else self.data.test
        frames = shots(pictures, read_others(self.others, _OTHERS, seed), objects=self.objects, seed=seed)
        made = Recording.make(self.bundle, frames, lambda text: report(f"{part}: {text}"))
        if path is not None:
            made.save(path)
        return made


def label(recording: Recording, frame: int, manifest: Manifest, unknown: Unknown) -> tuple[SeenLabel, float]:
    """Return (the label of a frame as the fusion node makes it, with all boards alive; its known score)."""
    weights = [variant.weight for variant in manifest.variants]
    tally = Tally(weights, len(manifest.classes))
    votes = recording.of_frame(frame, len(manifest.classes), range(len(weights)))
    for variant, vote in votes.items():
        tally.add(variant, vote)
    winner = tally.winner()
    found = confidences(manifest, votes, winner, unknown=unknown)
    name = None if found.is_known is False else manifest.classes[winner]
    return SeenLabel(name, found.by_class[winner]), found.known_score


def _fit_threshold(recording: Recording, manifest: Manifest) -> float:
    """Return the least known score of a known picture, for a bundle without thresholds: most are to be kept."""
    known = np.flatnonzero(recording.truth != NOTHING_KNOWN)
    scores = [label(recording, int(frame), manifest, "off")[1] for frame in known]
    return float(np.quantile(scores, 1 - _KEPT))


def _evaluate(recording: Recording, manifest: Manifest, unknown: Unknown) -> dict[str, Any]:
    names = [*manifest.classes, None]  # `NOTHING_KNOWN` is the last
    frames = [
        Frame(number / FPS, label(recording, number, manifest, unknown)[0], names[truth])
        for number, truth in enumerate(recording.truth.tolist())
    ]
    ways = {"all": frames, "gated": thin_out(frames, recording.is_moving.tolist(), HEARTBEAT_S)}
    return {
        "frames": {way: len(passed) for way, passed in ways.items()},
        "true_changes": true_changes(frames),
        "settings": [
            {
                **dict(zip(("labels", "window", "hysteresis", "dwell"), setting, strict=True)),
                **{way: evaluate(passed, StateRules(*setting, _TIMEOUT_S), frames) for way, passed in ways.items()},
            }
            for setting in SETTINGS
        ],
    }
