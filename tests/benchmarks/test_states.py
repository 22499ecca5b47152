"""`vp bench states`: scenes, and what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.states.measure import Frame, evaluate, thin_out, true_changes
from benchmarks.states.scenes import NOTHING_KNOWN, shots
from vp_mqtt.fusion.state import SeenLabel, StateRules
from vp_mqtt.training.datasets.pictures import ArrayPictures

EVERY_LABEL = StateRules(labels=1, window=1, hysteresis=0, dwell=0.0, timeout=30.0)
STABLE = StateRules(labels=3, window=5, hysteresis=1, dwell=0.0, timeout=30.0)


def frames(labels: str, truth: str) -> list[Frame]:
    """Return ten frames a second with these labels, "-" for unknown."""
    return [
        Frame(number / 10, SeenLabel(None if label == "-" else label, 0.9), None if true == "-" else true)
        for number, (label, true) in enumerate(zip(labels, truth, strict=True))
    ]


def test_changes_are_needless_missed_or_late() -> None:
    sequence = frames("aabaaa-bbbbb--cc--", "aaaaaaabbbbb------")
    assert true_changes(sequence) == 3
    assert evaluate(sequence, EVERY_LABEL, sequence) == {
        "published": 8,
        "needless": 5,
        "missed": 0.0,
        "delay_s": {"p50": 0.0, "p95": 0.0},
        "delay_frames": {"p50": 1.0, "p95": 1.0},
        "right": pytest.approx(1.3 / 1.7, abs=1e-4),
    }
    assert evaluate(sequence, STABLE, sequence) == {
        "published": 2,
        "needless": 0,
        "missed": 0.3333,
        "delay_s": {"p50": 0.3, "p95": 0.3},
        "delay_frames": {"p50": 4.0, "p95": 4.0},
        "right": pytest.approx(0.6 / 1.7, abs=1e-4),
    }


def test_a_gate_lets_pass_what_moves_and_a_heartbeat() -> None:
    sequence = frames("a" * 30, "a" * 30)
    passed = thin_out(sequence, [number == 12 for number in range(30)], heartbeat_s=1.0)
    assert [round(frame.at * 10) for frame in passed] == [0, 10, 12, 22]


def test_scenes_are_the_same_for_a_seed_and_show_known_objects_and_others() -> None:
    grey = np.arange(3, dtype=np.uint8)[:, None, None] * np.full((1, 28, 28), 100, np.uint8)
    pictures = ArrayPictures(grey, np.arange(3, dtype=np.int64), "test")
    others = [np.full((20, 20, 3), 255, np.uint8)]
    found, again = (list(shots(pictures, others, objects=8, seed=5)) for _ in range(2))
    assert [shot.truth for shot in found] == [shot.truth for shot in again]
    assert np.array_equal(found[50].picture, again[50].picture)
    assert {shot.truth for shot in found} == {NOTHING_KNOWN, 0, 1, 2}
    assert {shot.picture.shape for shot in found} == {(240, 320, 3)}
    moving = np.mean([shot.is_moving for shot in found])
    assert 0.05 < moving < 0.9
    # What is before the camera is there for two seconds at least, but for another thing that may slide in.
    truths = [shot.truth for shot in found]
    changes = np.flatnonzero(np.diff(truths))
    assert len(changes) >= 7
    assert np.diff(changes).min() >= 10
