"""Teaches a family classes of one's own in seconds: only its classifiers learn, the backbones are frozen.

The features of every picture are computed once for each variant, as a board would see the picture; a linear classifier
is fitted on them, and five more for cross-validation, each without a fifth of the pictures. What those say of the
pictures that they have not seen decides how sure the bundle is and what is unknown to it, so that no picture need be
kept from the classifiers for that (Kornblith et al., "Do Better ImageNet Models Transfer Better?", CVPR 2019, compare
such classifiers with fine-tuning).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import NONE_CLASS, Calibration, FamilySpec, Manifest
from vp_mqtt.training.bundle_writer import VariantModel, new_bundle_folder, write_bundle
from vp_mqtt.training.calibrate import describe_pictures
from vp_mqtt.training.confidence_fit import fit_calibration
from vp_mqtt.training.datasets import Dataset, Pictures
from vp_mqtt.training.datasets.pictures import JoinedPictures
from vp_mqtt.training.datasets.split import cut_off
from vp_mqtt.training.evaluation.evaluate import evaluate_probabilities
from vp_mqtt.training.evaluation.results import Evaluation
from vp_mqtt.training.evaluation.unknown import share_of_unknown
from vp_mqtt.training.familiarity import Familiarity, fit_familiarity, with_familiarity
from vp_mqtt.training.frozen.cross_validation import FOLDS, CrossValidated, cross_validate, folds_of
from vp_mqtt.training.frozen.features import Watcher, measure_features
from vp_mqtt.training.frozen.graph import with_classifier
from vp_mqtt.training.frozen.outcome import Doubt, Outcome, find_doubts, outcome_of
from vp_mqtt.training.frozen.start import Start
from vp_mqtt.training.frozen.zoom_choice import with_best_zoom, with_zoom

FEW_PICTURES = 1000
"""Up to so many, each counts a second time, mirrored."""
MOST_PICTURES = 4000
"""Of more, so many are learnt: the classifiers would hardly gain, and the features would take minutes."""

_K = 3


@dataclass(frozen=True)
class Taught:
    """A family that was taught.

    Attributes:
        manifest: of its bundle.
        pictures: that its classifiers were fitted on.
        validated: evaluation on these, each by classifiers that were fitted without it (cross-validation).
        chance: share of the largest class among them, 0..1: what a constant label would reach.
        held_out: evaluation on the test part, which was not used for anything else.
        outcome: what the family says of the same pictures.
        before: what another bundle says of them.
        doubts: pictures that are taken for another class by classifiers that were fitted without them.
        seconds: that it took.
    """

    manifest: Manifest
    pictures: int
    validated: Evaluation
    chance: float
    held_out: Evaluation
    outcome: Outcome
    before: Outcome | None
    doubts: tuple[Doubt, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Learned:
    """What a variant has learnt.

    Attributes:
        validated: its classifier.
        familiarity: of its features.
        probabilities: of each picture, by classifier and familiarity fitted without it, shape (N, classes).
    """

    validated: CrossValidated
    familiarity: Familiarity
    probabilities: NDArray[np.float32]

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of other pictures, shape (N, classes), by their features, shape (N, features)."""
        return self.familiarity.apply(features, self.validated.classifier.probabilities(features))


def teach(
    dataset: Dataset,
    start: Start,
    out: Path,
    *,
    name: str,
    seed: int = 0,
    before: Bundle | None = None,
    zoom: float | None = None,
    learns_validation: bool = True,
    watcher: Watcher | None = None,
) -> Taught:
    """Teach a family the classes of a data set, and write it as a bundle; the folder appears complete or not at all.

    Args:
        dataset: its training and validation part are learnt, of many pictures a part; its test part tells how well.
        start: backbones of the family.
        out: the bundle's folder; an existing bundle of the same classes is replaced.
        name: of the bundle.
        seed: random seed of the data set's split and of the folds.
        before: a bundle to evaluate on the test part, too.
        zoom: by which boards enlarge pictures, 1..MAX_ZOOM; by default 1 or 1.15, by cross-validation.
        learns_validation: whether the validation part is learnt; if not, it can compare the family with another.
        watcher: follows the work, and may cancel it.

    Raises:
        UserError: a picture cannot be read, the folder holds something other than a bundle of these classes or
            cannot be written, or the start crops a margin and does not take a zoom.
        Cancelled: the watcher says so; nothing is written.
    """
    began = time.monotonic()
    watcher = watcher or Watcher()
    pictures = _learnt_from(dataset, seed, learns_validation=learns_validation)
    with new_bundle_folder(out, dataset.classes) as folder:
        if zoom is None:
            start = with_best_zoom(start, pictures, len(dataset.classes), seed, watcher)
        else:
            start = with_zoom(start, zoom)
        has_mirrored = len(pictures) <= FEW_PICTURES
        features = measure_features(start, pictures, watcher, "learning", has_mirrored=has_mirrored)
        learned = learn(dataset.classes, pictures.labels, features, seed, watcher)
        writer = _Writer(folder, dataset, start, learned, name=name, seed=seed)
        manifest = writer.write()
        probabilities = np.stack([one.probabilities for one in learned])
        manifest = manifest.model_copy(
            update={"calibration": fit_calibration(manifest, probabilities, pictures.labels)}
        )
        validated = evaluate_probabilities(manifest, probabilities, pictures.labels, k=manifest.k, by_k=[])
        manifest = writer.write(manifest.calibration, validated.fused)
        said = _predict(start, learned, dataset.test, watcher)
        held_out = evaluate_probabilities(manifest, said, dataset.test.labels, k=manifest.k, by_k=[])
        outcome_before = None if before is None else outcome_of(before, dataset.classes, dataset.test)
        watcher.report("writing", 1, 1)
    return Taught(
        manifest=manifest,
        pictures=len(pictures),
        validated=validated,
        chance=float(np.bincount(pictures.labels).max() / len(pictures)),
        held_out=held_out,
        outcome=_as_outcome(held_out, share_of_unknown(manifest, said, k=manifest.k)),
        before=outcome_before,
        doubts=(*find_doubts(manifest, probabilities, pictures), *find_doubts(manifest, said, dataset.test)),
        seconds=time.monotonic() - began,
    )


def _learnt_from(dataset: Dataset, seed: int, *, learns_validation: bool) -> Pictures:
    pictures: Pictures = dataset.train
    if learns_validation:
        pictures = JoinedPictures([dataset.train, dataset.validation])
    if len(pictures) > MOST_PICTURES:
        pictures = cut_off(pictures, MOST_PICTURES / len(pictures), seed)[1]
    return pictures


def _as_outcome(found: Evaluation, unknown: float | None) -> Outcome:
    return Outcome(found.images, found.fused, found.accuracy.variants, unknown, found.confusion)


def _predict(start: Start, learned: Sequence[Learned], pictures: Pictures, watcher: Watcher) -> NDArray[np.float32]:
    """Return the probabilities of pictures that were not learnt, shape (variants, N, classes)."""
    features = measure_features(start, pictures, watcher, "testing", has_mirrored=False)
    return np.stack([one.predict(own[:, 0]) for one, own in zip(learned, features, strict=True)])


def learn(
    classes: Sequence[str],
    labels: NDArray[np.int64],
    features: Sequence[NDArray[np.float32]],
    seed: int,
    watcher: Watcher,
) -> list[Learned]:
    """Fit and cross-validate the classifier of each variant.

    Args:
        classes: class names.
        labels: indices of the pictures' classes, shape (N,).
        features: of each variant, shape (N, views, features).
        seed: random seed of the folds.
        watcher: follows the work.

    Raises:
        Cancelled: the watcher says so.
    """
    folds = folds_of(labels, FOLDS, seed)
    learned = []
    # The matrices are small: threads of the linear algebra would wait for each other, on a busy machine for minutes.
    with threadpool_limits(1):
        for place, own in enumerate(features):
            validated = cross_validate(
                own, labels, len(classes), folds, check=partial(watcher.report, "fitting", place, len(features))
            )
            learned.append(_with_familiarity(validated, own[:, 0], labels, folds, classes))
    return learned


def _with_familiarity(
    validated: CrossValidated,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    classes: Sequence[str],
) -> Learned:
    # Pictures of no class say nothing about what known ones look like.
    used = labels != classes.index(NONE_CLASS) if NONE_CLASS in classes else np.ones(len(labels), dtype=bool)

    def fitted(is_trained_on: NDArray[np.bool_]) -> Familiarity:
        return fit_familiarity(
            features[used], validated.probabilities[used], labels[used], is_trained_on=is_trained_on[used]
        )

    probabilities = np.empty_like(validated.probabilities)
    for fold in np.unique(folds):
        inside = folds == fold
        probabilities[inside] = fitted(~inside).apply(features[inside], validated.probabilities[inside])
    return Learned(validated, fitted(np.ones(len(labels), dtype=bool)), probabilities)


class _Writer:
    """Writes the bundle."""

    def __init__(
        self, folder: Path, dataset: Dataset, start: Start, learned: Sequence[Learned], *, name: str, seed: int
    ) -> None:
        self._folder = folder
        self._name = name
        self._classes = dataset.classes
        self._preprocessing = start.preprocessing
        self._provenance: dict[str, str | int | float] = {
            "dataset": dataset.name,
            "family": start.name,
            "epochs": 0,
            "seed": seed,
            "pretrained": start.name,
            "teacher": "none",
            "weights": "float16",
            **describe_pictures(dataset, dataset.train),
        }
        weights = FamilySpec(name="taught", variants=tuple(one.spec for one in start.backbones)).vote_weights()
        self._variants = [
            VariantModel(
                backbone.spec,
                weight,
                with_familiarity(
                    with_classifier(backbone.model, own.validated.classifier.weights, own.validated.classifier.bias),
                    own.familiarity,
                ),
                backbone.params_with(len(dataset.classes)),
            )
            for backbone, weight, own in zip(start.backbones, weights, learned, strict=True)
        ]

    def write(self, calibration: Calibration | None = None, validated: float | None = None) -> Manifest:
        """Write the bundle, again if it is there, and return its manifest."""
        if validated is not None:
            self._provenance["validation_accuracy"] = round(validated, 4)
        classes = len(self._classes)
        return write_bundle(
            self._folder,
            self._variants,
            name=self._name,
            classes=self._classes,
            k=min(_K, max(1, classes // 2)),
            provenance=self._provenance,
            calibration=calibration,
            preprocessing=self._preprocessing,
        )
