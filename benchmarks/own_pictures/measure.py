"""Draws classes and pictures, trains on them in several ways, and evaluates on the others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.own_pictures.features import FeatureCache
from benchmarks.own_pictures.usual_recipe import train_head
from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.files import write_atomically
from vp_mqtt.training.datasets import Pictures, load
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, sum_alive
from vp_mqtt.training.frozen.features import Watcher
from vp_mqtt.training.frozen.teach import FEW_PICTURES, learn
from vp_mqtt.training.frozen.zoom_choice import ZOOMS, best_features, looked_at
from vp_mqtt.training.presets import load_family

FAMILIES = ("mixed", "narrow")
SINGLES = (0.35, 1.0)
"""Widths of the networks of the usual recipe, at 224 pixels."""
MOST_PICTURES = 80
"""Of each class: what is not trained on is tested on."""
FEWEST_TESTED = 10

_SINGLE_RESOLUTION = 224


def single(alpha: float) -> VariantSpec:
    """Return the network of the usual recipe: MobileNetV2 at 224 pixels."""
    return VariantSpec(resolution=_SINGLE_RESOLUTION, alpha=alpha, head=1280, pooling="average")


def all_variants() -> FamilySpec:
    """Return every variant that is compared, each once."""
    found = [spec for name in FAMILIES for spec in load_family(name).variants]
    found += [single(alpha) for alpha in SINGLES]
    return FamilySpec(name="all", variants=tuple(dict.fromkeys(found)))


def chosen_pictures(data: str, root: Path | None = None) -> tuple[tuple[str, ...], Pictures]:
    """Return (class names, at most MOST_PICTURES of each class) of a data set, from all of its parts, in random order.

    Raises:
        UserError: it cannot be used.
    """
    dataset = load(data, root)
    pictures = dataset.everything()
    rng = np.random.default_rng(0)
    chosen = [
        rng.permutation(np.flatnonzero(pictures.labels == index))[:MOST_PICTURES]
        for index in range(len(dataset.classes))
    ]
    return dataset.classes, pictures.subset(np.concatenate(chosen))


@dataclass(frozen=True, eq=False)
class Draw:
    """Classes and pictures of one comparison.

    Attributes:
        classes: how many.
        train: indices of the pictures to train on, shape (N,); their labels.
        test: of the others of these classes, shape (M,); their labels.
        seed: that drew them.
    """

    classes: int
    train: tuple[NDArray[np.intp], NDArray[np.int64]]
    test: tuple[NDArray[np.intp], NDArray[np.int64]]
    seed: int


def draw(labels: NDArray[np.int64], classes: int, pictures: int, seed: int) -> Draw:
    """Draw classes with enough pictures, and pictures of each to train on.

    Args:
        labels: of all pictures, shape (N,).
        classes: how many to draw.
        pictures: of each class to train on; at least FEWEST_TESTED others are left to test on.
        seed: the same seed gives the same draw.
    """
    rng = np.random.default_rng([seed, classes, pictures])
    enough = np.flatnonzero(np.bincount(labels) >= pictures + FEWEST_TESTED)
    train: list[NDArray[np.intp]] = []
    test: list[NDArray[np.intp]] = []
    for label in np.sort(rng.permutation(enough)[:classes]):
        members = rng.permutation(np.flatnonzero(labels == label))
        train.append(members[:pictures])
        test.append(members[pictures:])

    def labelled(parts: Sequence[NDArray[np.intp]]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])

    return Draw(len(train), labelled(train), labelled(test), seed)


def compare(found: Sequence[FeatureCache], drawn: Draw) -> dict[str, Any]:
    """Train on a draw in every way, and return the accuracies on its test pictures, 0..1.

    Args:
        found: features of all pictures, by zoom, as in `ZOOMS`. The usual recipe has whole pictures, and once more
            the zoom that is best for `mixed`.
        drawn: the draw.
    """
    train, labels = drawn.train
    test, truth = drawn.test
    result: dict[str, Any] = {"seed": drawn.seed, "images": len(test)}
    families = {name: load_family(name) for name in FAMILIES}
    zooms = {name: _best_zoom(found, family, drawn) for name, family in families.items()}
    seconds = 0.0
    for name, family in families.items():
        own, took = _probabilities(found[zooms[name]], family, drawn)
        seconds += took / len(family.variants) / len(families)
        result[name] = {"zoom": ZOOMS[zooms[name]], **_accuracies(family, own, truth, drawn.classes)}
    result["fitting_s_per_variant"] = round(seconds, 2)
    for alpha in SINGLES:
        for suffix, cache in (("", found[0]), (" zoomed", found[zooms["mixed"]])):
            (features,) = cache.of(FamilySpec(name="one", variants=(single(alpha),)))
            given = train_head(features[train, 0], labels, features[test, 0], drawn.classes, drawn.seed)
            result[f"usual {alpha}{suffix}"] = round(float((given == truth).mean()), 4)
    return result


def _best_zoom(found: Sequence[FeatureCache], family: FamilySpec, drawn: Draw) -> int:
    """Return the index of the zoom that `vp teach` would choose."""
    train, labels = drawn.train
    seen = looked_at(labels, drawn.seed)
    candidates = [[own[train[seen], :1] for own in cache.of(family)] for cache in found]
    return best_features(candidates, family.vote_weights(), labels[seen], drawn.classes, drawn.seed)


def _probabilities(found: FeatureCache, family: FamilySpec, drawn: Draw) -> tuple[NDArray[np.float32], float]:
    """Return the probabilities of the test pictures, shape (variants, N, classes), and the time of fitting, in s."""
    train, labels = drawn.train
    features = found.of(family)
    views = 2 if len(train) <= FEW_PICTURES else 1
    began = time.process_time()
    names = [str(index) for index in range(drawn.classes)]
    learned = learn(names, labels, [own[train, :views] for own in features], drawn.seed, Watcher())
    seconds = time.process_time() - began
    test = drawn.test[0]
    return np.stack([one.predict(own[test, 0]) for one, own in zip(learned, features, strict=True)]), seconds


def _accuracies(
    family: FamilySpec, probabilities: NDArray[np.float32], truth: NDArray[np.int64], classes: int
) -> dict[str, Any]:
    """Return the accuracies of the fused label, with the weights of `vp train` and others, and of each variant."""
    k = min(3, max(1, classes // 2))
    votes = BatchVotes.select(probabilities, k)

    def fused(weights: Sequence[float]) -> float:
        sums = sum_alive(votes.shares(weights, k), range(len(weights)))
        return round(float((sums.argmax(1) == truth).mean()), 4)

    return {
        "fused": fused(family.vote_weights()),
        "paper": fused(family.weights()),
        "equal": fused([1.0] * len(family.variants)),
        "variants": [round(float((own.argmax(1) == truth).mean()), 4) for own in probabilities],
    }


def compare_all(
    found: Sequence[FeatureCache],
    labels: NDArray[np.int64],
    *,
    classes: Iterable[int],
    pictures: Iterable[int],
    seeds: Sequence[int],
    folder: Path,
) -> list[dict[str, Any]]:
    """Return a row for each number of classes and of pictures of each: the results of every seed.

    Args:
        found: features of all pictures, by zoom.
        labels: of all pictures, shape (N,).
        classes: numbers of classes.
        pictures: numbers of pictures of each.
        seeds: of the draws.
        folder: where the results are kept: those that are there are not computed again.
    """
    rows = []
    for number in classes:
        for each in pictures:
            draws = []
            for seed in seeds:
                file = folder / f"{number}-{each}-{seed}.json"
                if not file.exists():
                    compared = compare(found, draw(labels, number, each, seed))
                    write_atomically(file, json.dumps(compared))
                draws.append(json.loads(file.read_text(encoding="utf-8")))
            rows.append({"classes": number, "pictures": each, "draws": draws})
    return rows
