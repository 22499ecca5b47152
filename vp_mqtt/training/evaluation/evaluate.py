"""Evaluation of a bundle, by the exported models and the code that runs on devices: no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.errors import UserError
from vp_mqtt.inference.onnx import OnnxPredictor
from vp_mqtt.inference.pictures import decode, encode_jpeg, prepare
from vp_mqtt.protocol.votes import MAX_K
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.evaluation import metrics
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, sum_alive
from vp_mqtt.training.parallel import map_pictures

_LOT = 1024  # pictures fused at a time, to bound the memory
_MOST_SUBSETS = 1000  # of one size; of larger families, so many are drawn by chance
_SEED = 0

Subset = tuple[int, ...]


@dataclass(frozen=True)
class SubsetAccuracy:
    """The fused label with so many variants alive, over the subsets of that size.

    Attributes:
        mean: accuracy over the subsets, 0..1.
        worst: the lowest accuracy, 0..1, and the subset that has it.
        best: the highest accuracy, 0..1, and the subset that has it.
    """

    mean: float
    worst: tuple[float, Subset]
    best: tuple[float, Subset]


@dataclass(frozen=True)
class MetricValues:
    """One figure of the fused label with all variants alive, and of each variant alone, 0..1."""

    fused: float
    variants: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it rounded, as `vp eval --json` prints it."""
        return {"fused": round(self.fused, 4), "variants": [round(one, 4) for one in self.variants]}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a bundle is.

    Attributes:
        images: how many pictures it was judged on.
        k: classes in a vote, in all but `by_k`.
        accuracy: share of right labels.
        mean_per_class: mean over the classes of the accuracy on each.
        ece: expected calibration error of the published confidence, 15 bins.
        by_alive: by how many variants are alive.
        by_k: accuracy of the fused label, all variants alive, by the classes in a vote, 0..1.
        confusion: pictures of each class (row) by fused label (column), shape (classes, classes), int64.
    """

    images: int
    k: int
    accuracy: MetricValues
    mean_per_class: MetricValues
    ece: MetricValues
    by_alive: dict[int, SubsetAccuracy]
    by_k: dict[int, float]
    confusion: NDArray[np.int64]

    @property
    def fused(self) -> float:
        """Accuracy of the fused label with all variants alive, 0..1."""
        return self.accuracy.fused

    def as_dict(self) -> dict[str, Any]:
        """Return what `vp eval --json` prints."""

        def told(found: tuple[float, Subset]) -> dict[str, Any]:
            return {"accuracy": round(found[0], 4), "alive": list(found[1])}

        return {
            "images": self.images,
            "k": self.k,
            "accuracy": {
                **self.accuracy.as_dict(),
                "by_alive": {str(size): round(alive.mean, 4) for size, alive in self.by_alive.items()},
                "by_alive_worst": {str(size): told(alive.worst) for size, alive in self.by_alive.items()},
                "by_alive_best": {str(size): told(alive.best) for size, alive in self.by_alive.items()},
                "by_k": {str(k): round(share, 4) for k, share in self.by_k.items()},
            },
            "mean_per_class": self.mean_per_class.as_dict(),
            "ece": self.ece.as_dict(),
        }


def predict(bundle: Bundle, pictures: Pictures, jpeg_quality: int | None = None) -> NDArray[np.float32]:
    """Return the probabilities of every variant, shape (variants, N, classes), float32.

    Args:
        bundle: the family.
        pictures: to run it on.
        jpeg_quality: send every picture through JPEG of this quality first, 1..100, as a camera node does.

    Raises:
        UserError: a model or a picture cannot be read.
    """
    cv2.setNumThreads(1)
    manifest = bundle.manifest
    classes = len(manifest.classes)
    predictors = [
        OnnxPredictor(bundle.model_bytes(v.index), resolution=v.resolution, classes=classes) for v in manifest.variants
    ]
    result = np.empty((len(predictors), len(pictures), classes), dtype=np.float32)

    def one(index: int) -> None:
        picture = pictures.picture(index)
        encoded = encode_jpeg(picture, jpeg_quality) if jpeg_quality is not None else None
        for variant, predictor in enumerate(predictors):
            resolution = manifest.variants[variant].resolution
            if encoded is not None:
                picture = decode(encoded, resolution + manifest.preprocessing.margin)
            result[variant, index] = predictor(prepare(picture, resolution, manifest.preprocessing))

    for _ in map_pictures(one, len(pictures), "judging"):
        pass
    return result


def subsets_alive(variants: int) -> list[Subset]:
    """Return the subsets of variants to judge, by size: all, or many drawn by chance where there are too many."""
    rng = np.random.default_rng(_SEED)
    found: list[Subset] = []
    for size in range(1, variants + 1):
        if math.comb(variants, size) <= _MOST_SUBSETS:
            found += combinations(range(variants), size)
        else:
            drawn = {tuple(sorted(rng.permutation(variants)[:size].tolist())) for _ in range(_MOST_SUBSETS)}
            found += sorted(drawn)
    return found


def evaluate_bundle(
    bundle: Bundle, pictures: Pictures, *, ks: Sequence[int] | None = None, jpeg_quality: int | None = None
) -> Evaluation:
    """Judge a bundle: its labels and those of each variant, with any number of variants alive, and for any k.

    Args:
        bundle: the family.
        pictures: labelled, of the bundle's classes in the bundle's order.
        ks: classes in a vote: all figures are for the first one, `by_k` for each. By default what the bundle says,
            and for `by_k` every number from 1 to half of the classes.
        jpeg_quality: send every picture through JPEG of this quality first, 1..100.

    Raises:
        UserError: there are no pictures, a k is out of range, or a model or a picture cannot be read.
    """
    manifest = bundle.manifest
    if not len(pictures):
        raise UserError("there are no pictures to judge by")
    for k in ks or ():
        manifest.check_k(k, "--k")
        if k > MAX_K:
            raise UserError(f"--k {k}: a vote holds at most {MAX_K} classes")
    probabilities = predict(bundle, pictures, jpeg_quality)
    wanted = sorted(set(ks)) if ks else list(range(1, min(manifest.largest_k, MAX_K) + 1))
    try:
        return evaluate_probabilities(
            manifest, probabilities, pictures.labels, k=ks[0] if ks else manifest.k, by_k=wanted
        )
    except ValueError as error:
        raise UserError(f"the models of the bundle '{manifest.name}': {error}; export it again") from None


def evaluate_probabilities(
    manifest: Manifest,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    k: int,
    by_k: Sequence[int],
) -> Evaluation:
    """Judge probabilities, every vote rounded as on the wire.

    Args:
        manifest: the bundle's, for classes and weights.
        probabilities: shape (variants, N, classes), 0..1, finite.
        labels: the truth, shape (N,), N at least 1.
        k: classes in a vote.
        by_k: other numbers of classes in a vote to judge the fused label with.

    Raises:
        ValueError: probabilities are not finite, or not 0 to 1.
    """
    weights = [variant.weight for variant in manifest.variants]
    count, classes = len(weights), len(manifest.classes)
    everyone = tuple(range(count))
    subsets = subsets_alive(count)
    right = dict.fromkeys(subsets, 0)
    right_by_k = dict.fromkeys(by_k, 0)
    judged = [(variant,) for variant in everyone] + [everyone]
    labelled: dict[Subset, list[NDArray[np.intp]]] = {subset: [] for subset in judged}
    confidences: dict[Subset, list[NDArray[np.float64]]] = {subset: [] for subset in judged}
    for lot in _lots(len(labels)):
        truth = labels[lot]
        votes = BatchVotes.select(probabilities[:, lot], max([k, *by_k]))
        shares = votes.shares(weights, k)
        for subset in subsets:
            sums = sum_alive(shares, subset)
            winners = sums.argmax(axis=1)
            right[subset] += int((winners == truth).sum())
            if subset in labelled:
                labelled[subset].append(winners)
                confidences[subset].append(sums.max(axis=1) / sum(weights[v] for v in subset))
        for other in by_k:
            winners = sum_alive(votes.shares(weights, other), everyone).argmax(axis=1)
            right_by_k[other] += int((winners == truth).sum())
    predicted = {subset: np.concatenate(parts) for subset, parts in labelled.items()}

    def quality(of: Callable[[Subset], float]) -> MetricValues:
        return MetricValues(of(everyone), tuple(of((variant,)) for variant in everyone))

    return Evaluation(
        images=len(labels),
        k=k,
        accuracy=quality(lambda subset: right[subset] / len(labels)),
        mean_per_class=quality(lambda subset: metrics.mean_per_class(predicted[subset], labels)),
        ece=quality(
            lambda subset: metrics.calibration_error(
                np.clip(np.concatenate(confidences[subset]), 0, 1), predicted[subset] == labels
            )
        ),
        by_alive={size: _alive(right, size, len(labels)) for size in range(1, count + 1)},
        by_k={number: hits / len(labels) for number, hits in right_by_k.items()},
        confusion=metrics.confusion(predicted[everyone], labels, classes),
    )


def _lots(count: int) -> Iterator[slice]:
    for start in range(0, count, _LOT):
        yield slice(start, start + _LOT)


def _alive(right: dict[Subset, int], size: int, images: int) -> SubsetAccuracy:
    found = [(hits / images, subset) for subset, hits in right.items() if len(subset) == size]
    return SubsetAccuracy(float(np.mean([share for share, _ in found])), min(found), max(found, key=lambda one: one[0]))
