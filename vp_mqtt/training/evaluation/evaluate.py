"""Evaluates a bundle with its exported models and the code that runs on boards; needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Manifest, Preprocessing
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.errors import UserError
from vp_mqtt.fusion.confidence import sharpen
from vp_mqtt.inference.onnx import OnnxPredictor
from vp_mqtt.inference.pictures import Picture, PictureError, decode, prepare
from vp_mqtt.nodes.frame_encoder import MAX_FRAME_BYTES, FrameEncoder
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.nodes.sources.files import capture
from vp_mqtt.protocol.votes import MAX_K
from vp_mqtt.training.datasets import Pictures
from vp_mqtt.training.datasets.pictures import UnusablePictureError
from vp_mqtt.training.evaluation import metrics
from vp_mqtt.training.evaluation.batch_fusion import BatchVotes, mean_votes, subsets_of, sum_alive
from vp_mqtt.training.evaluation.results import Evaluation, MetricValues, Subset, SubsetAccuracy
from vp_mqtt.training.evaluation.unknown import evaluate_unknown
from vp_mqtt.training.parallel import map_pictures

_FUSED_AT_ONCE = 1024
"""Pictures; bounds the memory."""

_MAX_SUBSETS = 1000
"""Of one size: if a family has more, so many are chosen at random."""

View = Callable[[int], Picture]
"""What variants get to see of a picture, by the side of the square that they resize it to, in pixels."""


def predict(bundle: Bundle, pictures: Pictures, encoder: FrameEncoder | None = None) -> NDArray[np.float32]:
    """Return the probabilities of every variant, shape (variants, N, classes), float32.

    Args:
        bundle: the family.
        pictures: to classify.
        encoder: of the camera node that would publish them: what variants get is then what is on the wire, decoded as
            variant nodes do. None for the pictures as they are, decoded at full size.

    Raises:
        UserError: a model or a picture cannot be read.
    """
    manifest = bundle.manifest
    models = [bundle.model_bytes(variant.index) for variant in manifest.variants]
    return np.stack(run_models(manifest, models, pictures, encoder))


def run_models(
    manifest: Manifest,
    models: Sequence[bytes],
    pictures: Pictures,
    encoder: FrameEncoder | None,
    *,
    with_features: bool = False,
) -> list[NDArray[np.float32]]:
    """Return the outputs of every variant's model, each of shape (N, outputs), float32.

    Args:
        manifest: of the family.
        models: ONNX, by variant.
        pictures: to classify.
        encoder: as for `predict`.
        with_features: whether the output of the models are the probabilities and the features, not only the former.

    Raises:
        UserError: a model or a picture cannot be read.
    """
    cv2.setNumThreads(1)
    variants = manifest.variants
    sizes = [len(manifest.classes) + (entry.head if with_features else 0) for entry in variants]
    runners = [
        OnnxPredictor(model, resolution=entry.resolution, classes=size)
        for model, entry, size in zip(models, variants, sizes, strict=True)
    ]
    result = [np.empty((len(pictures), size), dtype=np.float32) for size in sizes]

    def predict_one(index: int) -> None:
        view = (
            published(pictures, index, encoder, manifest.preprocessing)
            if encoder is not None
            else _stored(pictures, index)
        )
        try:
            for variant, runner in enumerate(runners):
                resolution = variants[variant].resolution
                picture = view(manifest.preprocessing.side(resolution))
                result[variant][index] = runner(prepare(picture, resolution, manifest.preprocessing))
        except PictureError as error:
            raise UnusablePictureError.of(pictures.where(index), str(error)) from None

    for _ in map_pictures(predict_one, len(pictures), "evaluating"):
        pass
    return result


def _stored(pictures: Pictures, index: int) -> View:
    picture = pictures.picture(index)
    return lambda _: picture


def default_encoder() -> FrameEncoder:
    """Return the encoder of a camera node with its default settings."""
    quality = int(CameraSettings.model_fields["quality"].default)
    return FrameEncoder(size=None, quality=quality, passes_through=True)


def published(pictures: Pictures, index: int, encoder: FrameEncoder, preprocessing: Preprocessing) -> View:
    """Return the view of a picture that a camera node publishes.

    Raises:
        UserError: it cannot be read or published.
    """
    try:
        data = pictures.data(index)
        captured = Captured(pictures.picture(index)) if data is None else capture(data)
        frame = encoder.encode(captured, MAX_FRAME_BYTES)
    except PictureError as error:
        raise UnusablePictureError.of(pictures.where(index), str(error)) from None
    if frame is None:
        raise UserError(f"{pictures.where(index)}: it cannot be made small enough for a frame; remove it")
    return partial(decode, frame.jpeg, version=preprocessing.version)


def subsets_alive(variants: int) -> list[Subset]:
    """Return the subsets of variants to evaluate, by size: all of them, or a random choice if there are too many."""
    return [subset for size in range(1, variants + 1) for subset in subsets_of(variants, size, _MAX_SUBSETS)]


def evaluate_bundle(
    bundle: Bundle,
    pictures: Pictures,
    *,
    ks: Sequence[int] | None = None,
    encoder: FrameEncoder | None = None,
    foreign: Mapping[str, Pictures] | None = None,
) -> Evaluation:
    """Evaluate the fused label of a bundle and those of its variants, with any number of variants alive, for any k.

    Args:
        bundle: the family.
        pictures: labelled with the indices of the bundle's classes.
        ks: classes in a vote: the first one for everything, each for `by_k`. By default the bundle's, and every number
            from 1 to half of the classes for `by_k`.
        encoder: of the camera node that would publish the pictures; see `predict`.
        foreign: pictures that show none of the bundle's classes, to be told from the others, by any name.

    Raises:
        UserError: there are no pictures, a k is out of range, or a model or a picture cannot be read.
    """
    manifest = bundle.manifest
    if not len(pictures):
        raise UserError("there are no pictures to evaluate on")
    for k in ks or ():
        manifest.check_k(k, "--k")
        if k > MAX_K:
            raise UserError(f"--k {k}: a vote holds at most {MAX_K} classes")
    probabilities = predict(bundle, pictures, encoder)
    k = ks[0] if ks else manifest.k
    by_k = sorted(set(ks)) if ks else list(range(1, min(manifest.largest_k, MAX_K) + 1))
    try:
        result = evaluate_probabilities(manifest, probabilities, pictures.labels, k=k, by_k=by_k)
        unknown = {
            name: evaluate_unknown(manifest, probabilities, pictures.labels, predict(bundle, others, encoder), k=k)
            for name, others in (foreign or {}).items()
        }
        return dataclasses.replace(result, unknown=unknown)
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
    """Evaluate probabilities, every vote rounded as on the wire.

    Args:
        manifest: the bundle's, for classes and weights.
        probabilities: shape (variants, N, classes), 0..1, finite.
        labels: the true classes, shape (N,), N at least 1.
        k: classes in a vote.
        by_k: further numbers of classes in a vote, for the fused label only.

    Raises:
        ValueError: probabilities are not finite, or not 0 to 1.
    """
    weights = [variant.weight for variant in manifest.variants]
    everyone = tuple(range(len(weights)))
    tally = _LabelTally(manifest, k, by_k)
    for part in _slices(len(labels)):
        tally.add(BatchVotes.select(probabilities[:, part], max([k, *by_k])), labels[part])
    predicted = {subset: np.concatenate(parts) for subset, parts in tally.labels.items()}
    confidences = {subset: np.clip(np.concatenate(parts), 0, 1) for subset, parts in tally.confidences.items()}

    def metric(of: Callable[[Subset], float]) -> MetricValues:
        return MetricValues(of(everyone), tuple(of((variant,)) for variant in everyone))

    return Evaluation(
        images=len(labels),
        k=k,
        accuracy=metric(lambda subset: tally.correct[subset] / len(labels)),
        mean_per_class=metric(lambda subset: metrics.mean_per_class(predicted[subset], labels)),
        ece=metric(lambda subset: metrics.calibration_error(confidences[subset], predicted[subset] == labels)),
        by_alive={size: _subset_accuracy(tally.correct, size, len(labels)) for size in range(1, len(weights) + 1)},
        by_subset={subset: correct / len(labels) for subset, correct in tally.correct.items()},
        by_k={number: correct / len(labels) for number, correct in tally.correct_by_k.items()},
        confusion=metrics.confusion(predicted[everyone], labels, len(manifest.classes)),
    )


class _LabelTally:
    """Counts correct labels, batch by batch, and keeps the labels of each variant alone and of all together.

    Attributes:
        correct: correct labels by subset of variants alive.
        correct_by_k: correct fused labels by the classes in a vote.
        labels: of each variant alone and of all together, in batches of shape (N,).
        confidences: of these labels, in the same batches.
    """

    def __init__(self, manifest: Manifest, k: int, by_k: Iterable[int]) -> None:
        weights = [variant.weight for variant in manifest.variants]
        variants = range(len(weights))
        kept: list[Subset] = [*((variant,) for variant in variants), tuple(variants)]
        self._weights = weights
        self._k = k
        self.correct = dict.fromkeys(subsets_alive(len(weights)), 0)
        self.correct_by_k = dict.fromkeys(by_k, 0)
        self.labels: dict[Subset, list[NDArray[np.intp]]] = {subset: [] for subset in kept}
        self.confidences: dict[Subset, list[NDArray[np.float64]]] = {subset: [] for subset in kept}
        self._calibration = manifest.calibration

    def add(self, votes: BatchVotes, truth: NDArray[np.int64]) -> None:
        """Fuse the votes on a batch of pictures, with the true classes of shape (N,)."""
        weights = self._weights
        shares = votes.shares(weights, self._k)
        for subset in self.correct:
            sums = sum_alive(shares, subset)
            winners = sums.argmax(axis=1)
            self.correct[subset] += int((winners == truth).sum())
            if subset in self.labels:
                self.labels[subset].append(winners)
                self.confidences[subset].append(self._confidences(votes, subset))
        for k in self.correct_by_k:
            winners = sum_alive(votes.shares(weights, k), range(len(weights))).argmax(axis=1)
            self.correct_by_k[k] += int((winners == truth).sum())

    def _confidences(self, votes: BatchVotes, subset: Subset) -> NDArray[np.float64]:
        """Return the confidence of the fused label, shape (N,)."""
        means, limits = mean_votes(votes, self._weights, subset, self._k)
        if self._calibration is not None:
            means = sharpen(means, limits, self._calibration.temperatures[len(subset) - 1], votes.classes)
        return np.asarray(means.max(axis=1))


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, _FUSED_AT_ONCE):
        yield slice(start, start + _FUSED_AT_ONCE)


def _subset_accuracy(correct: dict[Subset, int], size: int, images: int) -> SubsetAccuracy:
    found = [(count / images, subset) for subset, count in correct.items() if len(subset) == size]
    mean = float(np.mean([accuracy for accuracy, _ in found]))
    return SubsetAccuracy(mean, min(found), max(found, key=lambda one: one[0]))
