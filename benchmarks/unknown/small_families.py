"""How well the confidence of families of a few classes is calibrated that `vp teach` makes of a few pictures.

The calibration error of few test pictures is mostly chance: that of a family that is perfectly calibrated is not 0
either. So there are as many test pictures as the data set has, what a perfect family would show is simulated, and the
labels of all draws are counted together, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.manifest import FamilySpec, Manifest, VariantEntry
from vp_mqtt.files import open_atomically
from vp_mqtt.fusion.confidence import sharpen
from vp_mqtt.training.confidence_fit import fit_calibration
from vp_mqtt.training.datasets import Pictures, load
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, mean_votes
from vp_mqtt.training.evaluation.metrics import calibration_error
from vp_mqtt.training.frozen.features import Watcher, measure_features
from vp_mqtt.training.frozen.pretrained import start_from_files
from vp_mqtt.training.frozen.start import Start
from vp_mqtt.training.frozen.teach import learn

CLASSES, PICTURES = 4, 40
MOST_PICTURES = 800
"""Of each class."""
LEAST_PICTURES, CANDIDATES = 90, 80

_K = 2
_SIMULATIONS = 100
_DIGITS = 4


def small_families(
    data: str, root: Path | None, pretrained: Sequence[str], cache: Path, *, draws: int
) -> dict[str, Any]:
    """Return the calibration of families of CLASSES classes that learn PICTURES pictures of each, drawn at random.

    Args:
        data: a folder of class folders, or a named data set; all of its parts are used.
        root: folder with the files of a named data set.
        pretrained: weights, as for `vp train`.
        cache: folder for features.
        draws: how many families.

    Raises:
        UserError: data or weights cannot be used.
    """
    name, pictures, is_candidate = _choose(data, root)
    start = start_from_files(pretrained)
    pool = _measure(start, pictures, is_candidate, cache)
    spec = FamilySpec(name="taught", variants=tuple(backbone.spec for backbone in start.backbones))
    found = [evaluate_draw(spec, pool, seed) for seed in range(draws)]
    confidences, is_right = (np.concatenate([one[place] for _, *one in found]) for place in (0, 1))
    return {
        "data": name,
        "classes": CLASSES,
        "pictures": PICTURES,
        "draws": [row for row, *_ in found],
        "together": describe(confidences, is_right),
    }


@dataclass(frozen=True, eq=False)
class Pool:
    """Pictures to draw from.

    Attributes:
        labels: their classes, shape (N,).
        features: by variant, shape (N, 1, features).
        is_candidate: which may be learnt, shape (N,): CANDIDATES of each class.
        mirrored: features of the mirrored candidates, by variant, shape (candidates, 1, features).
    """

    labels: NDArray[np.int64]
    features: Sequence[NDArray[np.float32]]
    is_candidate: NDArray[np.bool_]
    mirrored: Sequence[NDArray[np.float32]]

    def learnt(self, indices: NDArray[np.intp]) -> list[NDArray[np.float32]]:
        """Return the features of candidates, plain and mirrored, shape (indices, 2, features)."""
        places = np.cumsum(self.is_candidate)[indices] - 1
        pairs = zip(self.features, self.mirrored, strict=True)
        return [np.concatenate([plain[indices], mirrored[places]], axis=1) for plain, mirrored in pairs]


def _choose(data: str, root: Path | None) -> tuple[str, Pictures, NDArray[np.bool_]]:
    """Return (the data set's name; pictures of each class that has enough; which of them may be learnt)."""
    dataset = load(data, root)
    pictures = dataset.everything()
    rng = np.random.default_rng(0)
    members = [rng.permutation(np.flatnonzero(pictures.labels == index)) for index in range(len(dataset.classes))]
    kept = [own[:MOST_PICTURES] for own in members if len(own) >= LEAST_PICTURES]
    is_candidate = np.concatenate([np.arange(len(own)) < CANDIDATES for own in kept])
    return dataset.name, pictures.subset(np.concatenate(kept)), is_candidate


def _measure(start: Start, pictures: Pictures, is_candidate: NDArray[np.bool_], cache: Path) -> Pool:
    """Return the pictures with their features, from files in the cache if they are there."""
    cache.mkdir(parents=True, exist_ok=True)

    def measured(name: str, indices: NDArray[np.intp], *, has_mirrored: bool) -> list[NDArray[np.float32]]:
        file = cache / f"{name}.npz"
        if not file.exists():
            found = measure_features(start, pictures.subset(indices), Watcher(), name, has_mirrored=has_mirrored)
            with open_atomically(file) as opened:
                np.savez(opened, *[own.astype(np.float16) for own in found])
        with np.load(file) as stored:
            return [stored[key].astype(np.float32) for key in stored.files]

    candidates = measured("candidates", np.flatnonzero(is_candidate), has_mirrored=True)
    others = measured("others", np.flatnonzero(~is_candidate), has_mirrored=False)
    features = []
    for views, plain in zip(candidates, others, strict=True):
        joined = np.empty((len(pictures), 1, plain.shape[2]), dtype=np.float32)
        joined[is_candidate], joined[~is_candidate] = views[:, :1], plain
        features.append(joined)
    return Pool(pictures.labels, features, is_candidate, [views[:, 1:] for views in candidates])


def draw(pool: Pool, seed: int) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    """Draw classes, and candidates of each to learn: their indices and labels, then those of all their others."""
    rng = np.random.default_rng(seed)
    learnt, others = [], []
    for label in rng.permutation(np.unique(pool.labels))[:CLASSES]:
        own = rng.permutation(np.flatnonzero((pool.labels == label) & pool.is_candidate))[:PICTURES]
        learnt.append(own)
        others.append(np.setdiff1d(np.flatnonzero(pool.labels == label), own))
    labels = [np.repeat(np.arange(CLASSES), [len(own) for own in part]) for part in (learnt, others)]
    return np.concatenate(learnt), labels[0], np.concatenate(others), labels[1]


def evaluate_draw(
    spec: FamilySpec, pool: Pool, seed: int
) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.bool_]]:
    """Return (the result of a draw; confidences and whether each label is right, on the pictures not learnt).

    Args:
        spec: of the family.
        pool: to draw from.
        seed: of the draw.
    """
    train, own, test, truth = draw(pool, seed)
    names = tuple(str(index) for index in range(CLASSES))
    learned = learn(names, own, pool.learnt(train), 0, Watcher())
    manifest = _manifest(spec, names)
    validated = np.stack([one.probabilities for one in learned])
    fitted = fit_calibration(manifest, validated, own)
    said = np.stack([one.predict(found[test, 0]) for one, found in zip(learned, pool.features, strict=True)])
    temperature = fitted.temperatures[-1]
    means, limits = mean_votes(BatchVotes.select(said, _K), spec.vote_weights(), range(len(spec.variants)))
    confidences = sharpen(means, limits, temperature, CLASSES).max(1)
    is_right = means.argmax(1) == truth
    row = {"seed": seed, "temperature": temperature} | describe(confidences, is_right)
    return row, confidences, is_right


def describe(confidences: NDArray[np.float64], is_right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return accuracy, mean confidence and calibration error, and what that is of a perfectly calibrated family.

    Args:
        confidences: shape (N,), 0..1.
        is_right: shape (N,).
    """
    rng = np.random.default_rng(0)
    simulated = [
        calibration_error(confidences, rng.random(len(confidences)) < confidences) for _ in range(_SIMULATIONS)
    ]
    shares = {
        "accuracy": is_right.mean(),
        "confidence": confidences.mean(),
        "ece": calibration_error(confidences, is_right),
        "ece_of_perfect": np.mean(simulated),
    }
    return {"images": len(is_right)} | {name: round(float(share), _DIGITS) for name, share in shares.items()}


def _manifest(spec: FamilySpec, classes: tuple[str, ...]) -> Manifest:
    entries = [
        VariantEntry(**variant.model_dump(), index=index, weight=weight, file="none", sha256="0" * 64, params=1)
        for index, (variant, weight) in enumerate(zip(spec.variants, spec.vote_weights(), strict=True))
    ]
    return Manifest(name="small", classes=classes, variants=tuple(entries), k=_K)
