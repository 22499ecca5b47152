"""Labelling what the queue proposes against random frames: the parts of the comparison, on features made up here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.labelling.measure import Family, compare, divide
from benchmarks.labelling.report import rows

LABELS = np.repeat(np.arange(3), 60)


def features(seed: int, noise: float) -> list[NDArray[np.float32]]:
    """Return features of two variants: a corner for each class, and noise."""
    rng = np.random.default_rng(seed)
    corners = np.eye(3)[LABELS]
    return [(corners + rng.normal(0, noise, corners.shape)).astype(np.float32)[:, np.newaxis] for _ in range(2)]


def test_no_picture_is_in_two_parts_and_each_class_has_its_start() -> None:
    parts = divide(LABELS, 10, 0.5, 0)
    assert np.bincount(LABELS[parts.start]).tolist() == [10, 10, 10]
    everything = np.concatenate([parts.start, parts.stream, parts.test])
    assert sorted(everything) == list(range(len(LABELS)))
    assert len(parts.stream) == len(parts.test) == 75


def test_frames_between_the_classes_are_worth_most() -> None:
    own = features(0, 0.1)
    for one in own:
        one[:5] = 1 / 3
    learnt = np.concatenate([np.arange(begin + 10, begin + 40) for begin in (0, 60, 120)])
    family = Family(own, LABELS, learnt, 0)
    assert family.accuracy(np.arange(60, 80), LABELS) > 0.9
    worth = family.worth(np.concatenate([np.arange(5), np.arange(45, 60)]))
    assert worth[:5].min() > np.median(worth[5:])


def test_a_comparison_has_a_row_for_each_seed_and_a_mean() -> None:
    results = [compare(features(seed, 0.5), LABELS, 10, 20, seed) for seed in range(2)]
    assert all(0.3 < one[key] <= 1 for one in results for key in ("before", "random", "proposed"))
    assert (results[0]["stream"], results[0]["tested"]) == (75, 75)
    mean = {key: np.mean([one[key] for one in results]) for key in ("before", "random", "proposed")}
    heading, *body = rows({"labelled": 20, "seeds": results, "mean": mean})
    assert heading[2] == "20 at random"
    assert [row[0] for row in body] == ["0", "1", "**mean**"]
    assert body[-1][-1].endswith("points")
