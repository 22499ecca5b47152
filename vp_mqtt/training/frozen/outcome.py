"""What a family says of labelled pictures: how often it is right, on how many it says unknown, and which it doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, mean_votes
from vp_mqtt.training.evaluation.evaluate import default_encoder, evaluate_probabilities, predict
from vp_mqtt.training.evaluation.unknown import share_of_unknown

_MOST_DOUBTS = 100
_SURE = 0.5


@dataclass(frozen=True)
class Doubt:
    """A picture that classifiers which were fitted without it take for another class: perhaps its label is wrong.

    Attributes:
        picture: where it is.
        label: the class that it is in.
        seems: the class that it is taken for.
        confidence: probability of that class, 0..1.
    """

    picture: str
    label: str
    seems: str
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """Return the doubt for `--json`."""
        confidence = round(self.confidence, 4)
        return {"picture": self.picture, "class": self.label, "seems": self.seems, "confidence": confidence}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a family says of pictures that it has not learnt from.

    Attributes:
        images: number of pictures.
        fused: share of right labels, 0..1; pictures of classes that it lacks count as wrong.
        variants: the same for each variant alone.
        unknown: share of all pictures that it calls unknown, 0..1; None where it has no threshold.
        confusion: pictures by class (row) and label (column); None where it has other classes than the pictures.
    """

    images: int
    fused: float
    variants: tuple[float, ...]
    unknown: float | None
    confusion: NDArray[np.int64] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome for `--json`."""
        return {
            "images": self.images,
            "fused": round(self.fused, 4),
            "variants": [round(one, 4) for one in self.variants],
            "unknown": None if self.unknown is None else round(self.unknown, 4),
            "confusion": None if self.confusion is None else self.confusion.tolist(),
        }


def outcome_of(bundle: Bundle, classes: Sequence[str], pictures: Pictures) -> Outcome:
    """Return what a bundle says of pictures.

    Args:
        bundle: the family.
        classes: names of the pictures' classes, by index.
        pictures: labelled with these indices, at least one.

    Raises:
        UserError: a model or a picture cannot be read.
    """
    manifest = bundle.manifest
    theirs = manifest.classes
    places = np.array([theirs.index(name) if name in theirs else -1 for name in classes])[pictures.labels]
    probabilities = predict(bundle, pictures, default_encoder())
    unknown = share_of_unknown(manifest, probabilities, k=manifest.k)
    known = places >= 0
    if not known.any():
        return Outcome(len(pictures), 0.0, (0.0,) * len(manifest.variants), unknown, None)
    found = evaluate_probabilities(manifest, probabilities[:, known], places[known], k=manifest.k, by_k=[])
    share = float(known.mean())
    variants = tuple(one * share for one in found.accuracy.variants)
    confusion = found.confusion if tuple(theirs) == tuple(classes) else None
    return Outcome(len(pictures), found.fused * share, variants, unknown, confusion)


def find_doubts(manifest: Manifest, probabilities: NDArray[np.float32], pictures: Pictures) -> list[Doubt]:
    """Return the pictures that are taken for another class than their own, the surest first, some hundred at most.

    Args:
        manifest: of the family.
        probabilities: of each variant, by classifiers fitted without the picture, shape (variants, N, classes).
        pictures: N of them, with their labels.
    """
    weights = [variant.weight for variant in manifest.variants]
    votes = BatchVotes.select(probabilities, manifest.k)
    means = mean_votes(votes, weights, tuple(range(len(weights))))[0]
    winners, sure = means.argmax(1), means.max(1)
    is_doubtful = (winners != pictures.labels) & (sure >= _SURE)
    order = sorted(np.flatnonzero(is_doubtful), key=lambda index: -float(sure[index]))
    classes = manifest.classes
    return [
        Doubt(pictures.where(int(i)), classes[pictures.labels[i]], classes[winners[i]], float(min(1.0, sure[i])))
        for i in order[:_MOST_DOUBTS]
    ]
