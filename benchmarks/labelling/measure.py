"""Starts from few pictures of each class, plays a stream, labels some of its frames, and learns again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.files import open_atomically
from vp_mqtt.fusion.confidence import known_score
from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import ClassScore, LabelMessage
from vp_mqtt.training.datasets import Pictures, load
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, mean_votes
from vp_mqtt.training.frozen.features import Watcher, measure_features
from vp_mqtt.training.frozen.start import Start, start_from_bundle
from vp_mqtt.training.frozen.teach import Learned, learn
from vp_mqtt.web.teaching.worth import worth_of

KEPT = 0.95
"""Share of the known pictures that the threshold of unknown keeps, as in bundles."""

Features = list[NDArray[np.float32]]


def read_or_measure(pictures: Pictures, start: Start, cache: Path) -> Features:
    """Return the features of pictures by variant, shape (N, 1, features), from a file if they are there.

    Raises:
        UserError: a picture cannot be read.
    """
    if not cache.exists():
        found = measure_features(start, pictures, Watcher(), "features", has_mirrored=False)
        cache.parent.mkdir(parents=True, exist_ok=True)
        with open_atomically(cache) as file:
            np.savez(file, *found)
    with np.load(cache) as stored:
        return [stored[name] for name in stored.files]


@dataclass(frozen=True, eq=False)
class Parts:
    """Indices of the pictures: to start from, of the stream, and to test on."""

    start: NDArray[np.intp]
    stream: NDArray[np.intp]
    test: NDArray[np.intp]


def divide(labels: NDArray[np.int64], per_class: int, stream_share: float, seed: int) -> Parts:
    """Divide pictures at random: so many of each class to start from, of the rest a share for the stream."""
    rng = np.random.default_rng(seed)
    start: list[NDArray[np.intp]] = []
    rest: list[NDArray[np.intp]] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        start.append(members[:per_class])
        rest.append(members[per_class:])
    others = rng.permutation(np.concatenate(rest))
    cut = round(len(others) * stream_share)
    return Parts(np.concatenate(start), others[:cut], others[cut:])


class Family:
    """A family that has learnt from some of the pictures."""

    def __init__(self, features: Features, labels: NDArray[np.int64], learnt: NDArray[np.intp], seed: int) -> None:
        """Learn from the pictures with these indices."""
        names = [str(index) for index in range(int(labels.max()) + 1)]
        self._features = features
        self._k = min(3, max(1, len(names) // 2))
        found = learn(names, labels[learnt], [own[learnt] for own in features], seed, Watcher())
        self._learned: list[Learned] = found
        left_out = self._fused(np.stack([one.probabilities for one in found]))
        self._threshold = float(np.quantile(known_score(left_out), 1 - KEPT))

    def accuracy(self, pictures: NDArray[np.intp], labels: NDArray[np.int64]) -> float:
        """Return the share of right labels among pictures."""
        return float((self._fused(self._predict(pictures)).argmax(1) == labels[pictures]).mean())

    def worth(self, pictures: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return what a look at each picture is worth to the queue, shape (N,)."""
        probabilities = self._predict(pictures)
        fused, winners = self._fused(probabilities), probabilities.argmax(2)
        known = known_score(fused) >= self._threshold
        scores = [
            worth_of(_label(fused[i], is_known=bool(known[i])), winners[:, i].tolist(), has_changed=False).score
            for i in range(len(pictures))
        ]
        return np.array(scores)

    def _predict(self, pictures: NDArray[np.intp]) -> NDArray[np.float32]:
        each = zip(self._learned, self._features, strict=True)
        return np.stack([one.predict(own[pictures, 0]) for one, own in each])

    def _fused(self, probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        count = len(probabilities)
        votes = BatchVotes.select(probabilities, self._k)
        return np.asarray(mean_votes(votes, [1.0] * count, tuple(range(count)))[0], dtype=np.float64)


def _label(means: NDArray[np.float64], *, is_known: bool) -> LabelMessage:
    order = means.argsort()[::-1][:2]
    top = tuple(ClassScore(label=f"class {index}", confidence=float(np.clip(means[index], 0, 1))) for index in order)
    return LabelMessage(
        camera="cam0",
        frame="00000001-1",
        label=top[0].label if is_known else None,
        known=is_known,
        class_index=int(order[0]) if is_known else None,
        confidence=top[0].confidence if is_known else None,
        score=None,
        top=top,
        voted=(),
        missing=(),
        alive=(),
        closed_by=ClosedBy.COMPLETE,
        latency_ms=0.0,
        captured=0.0,
        valid_for_s=1.0,
        bundle="own",
    )


def compare(features: Features, labels: NDArray[np.int64], per_class: int, labelled: int, seed: int) -> dict[str, Any]:
    """Return the accuracies before and after labelling frames of a stream: those the queue proposes, and random ones.

    Args:
        features: of all pictures, by variant.
        labels: of all pictures, shape (N,).
        per_class: pictures of each class to start from.
        labelled: frames that are labelled.
        seed: of the division and of the random choice.
    """
    parts = divide(labels, per_class, 0.5, seed)
    first = Family(features, labels, parts.start, seed)
    order = np.argsort(-first.worth(parts.stream), kind="stable")
    random = np.random.default_rng([seed, 1]).permutation(len(parts.stream))
    chosen = {"proposed": parts.stream[order[:labelled]], "random": parts.stream[random[:labelled]]}
    after = {
        name: Family(features, labels, np.concatenate([parts.start, frames]), seed).accuracy(parts.test, labels)
        for name, frames in chosen.items()
    }
    return {
        "seed": seed,
        "stream": len(parts.stream),
        "tested": len(parts.test),
        "before": round(first.accuracy(parts.test, labels), 4),
        **{name: round(accuracy, 4) for name, accuracy in after.items()},
    }


def run(
    data: str, bundle: str, variants: int, cache: Path, *, per_class: int, labelled: int, seeds: list[int]
) -> dict[str, Any]:
    """Return the results of every seed.

    Args:
        data: a folder of class folders, or a named data set; of its parts, all pictures are used.
        bundle: whose backbones are used, the first so many variants of it; it must not have learnt from these pictures.
        variants: how many.
        cache: file for the features.
        per_class: pictures of each class to start from.
        labelled: frames that are labelled.
        seeds: of the divisions.

    Raises:
        UserError: data or bundle cannot be used.
    """
    dataset = load(data)
    pictures = dataset.everything()
    whole = start_from_bundle(open_bundle(bundle), bundle)
    features = read_or_measure(pictures, _some_of(whole, variants), cache)
    results = [compare(features, pictures.labels, per_class, labelled, seed) for seed in seeds]
    return {
        "data": dataset.name,
        "bundle": bundle,
        "variants": len(features),
        "classes": len(dataset.classes),
        "per_class": per_class,
        "labelled": labelled,
        "seeds": results,
        "mean": {
            name: round(float(np.mean([one[name] for one in results])), 4) for name in ("before", "random", "proposed")
        },
    }


def _some_of(start: Start, variants: int) -> Start:
    return dataclasses.replace(start, backbones=start.backbones[:variants])
