"""Evaluation of a bundle, by the exported models and the code that runs on devices: no torch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.family import Bundle
from vp_mqtt.fusion import fuse
from vp_mqtt.inference.onnx import OnnxPredictor
from vp_mqtt.inference.pictures import decode, encode_jpeg, prepare
from vp_mqtt.learning.datasets import Pictures
from vp_mqtt.topk import Vote, encode, select
from vp_mqtt.topk import decode as decode_vote


@dataclass(frozen=True)
class Evaluation:
    """How good a bundle is.

    Attributes:
        images: how many pictures it was judged on.
        fused: accuracy of the fused label with all variants alive, 0..1.
        variants: accuracy of each, 0..1.
        by_alive: mean accuracy of the fused label over all subsets of so many variants, 0..1.
    """

    images: int
    fused: float
    variants: tuple[float, ...]
    by_alive: dict[int, float]

    def as_dict(self) -> dict[str, Any]:
        """Return what `vp eval --json` prints."""
        by_alive = {str(alive): share for alive, share in self.by_alive.items()}
        return {
            "images": self.images,
            "accuracy": {"fused": self.fused, "variants": list(self.variants), "by_alive": by_alive},
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
    for index in range(len(pictures)):
        picture = pictures.picture(index)
        if jpeg_quality is not None:
            picture = decode(encode_jpeg(picture, jpeg_quality))
        for variant, predictor in enumerate(predictors):
            resolution = manifest.variants[variant].resolution
            result[variant, index] = predictor(prepare(picture, resolution, manifest.preprocessing))
    return result


def evaluate(
    bundle: Bundle, pictures: Pictures, *, k: int | None = None, jpeg_quality: int | None = None
) -> Evaluation:
    """Judge a bundle, every vote encoded and decoded as on the wire, for every subset of variants alive.

    Args:
        bundle: the family.
        pictures: labelled, of the bundle's classes in the bundle's order.
        k: classes in a vote; by default what the bundle says.
        jpeg_quality: send every picture through JPEG of this quality first, 1..100.

    Raises:
        UserError: there are no pictures, k is out of range, or a model or a picture cannot be read.
    """
    manifest = bundle.manifest
    classes, count = len(manifest.classes), len(manifest.variants)
    chosen_k = k or manifest.k
    if not len(pictures):
        raise UserError("there are no pictures to judge by")
    if chosen_k > classes:
        raise UserError(f"-k {chosen_k}: the bundle has only {classes} classes")
    probabilities = predict(bundle, pictures, jpeg_quality)
    weights = [variant.weight for variant in manifest.variants]
    right_by_alive: dict[int, list[float]] = defaultdict(list)
    right: dict[tuple[int, ...], int] = defaultdict(int)
    subsets = [subset for alive in range(1, count + 1) for subset in combinations(range(count), alive)]
    for index, label in enumerate(pictures.labels.tolist()):
        votes: dict[int, Vote] = {}
        for variant in range(count):
            vote = select(probabilities[variant, index], chosen_k, manifest.short_digest)
            votes[variant] = decode_vote(encode(vote), classes)
        for subset in subsets:
            scores = fuse({variant: votes[variant] for variant in subset}, weights, classes)
            right[subset] += int(scores.argmax()) == label
    for subset in subsets:
        right_by_alive[len(subset)].append(right[subset] / len(pictures))
    return Evaluation(
        images=len(pictures),
        fused=round(right[tuple(range(count))] / len(pictures), 4),
        variants=tuple(round(right[(variant,)] / len(pictures), 4) for variant in range(count)),
        by_alive={alive: round(float(np.mean(shares)), 4) for alive, shares in right_by_alive.items()},
    )
