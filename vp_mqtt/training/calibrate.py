"""Builds familiarity into a family's models, and fits the calibration of its bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, Calibration, Manifest
from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_fit import describe
from vp_mqtt.training.bundle_writer import new_bundle_folder
from vp_mqtt.training.confidence_fit import fit_calibration
from vp_mqtt.training.datasets import Dataset, Pictures
from vp_mqtt.training.datasets.split import cut_off
from vp_mqtt.training.evaluation.evaluate import default_encoder, evaluate_probabilities, run_models
from vp_mqtt.training.familiarity import (
    fit_familiarity,
    has_familiarity,
    with_familiarity,
    with_features,
    without_familiarity,
)
from vp_mqtt.training.merge import difference
from vp_mqtt.training.zoom import choose_zoom, zoomed

MAX_TRAINING_PICTURES = 2000
"""For the class means: so many pictures of the training part are enough."""

_SEED = 0
_DESCRIBED = 100
"""So many pictures are looked at to say what they are like."""


@dataclass(frozen=True)
class Calibrated:
    """Models and what fits them.

    Attributes:
        models: ONNX, by variant, with familiarity.
        calibration: of the bundle.
        probabilities: of the validation pictures by these models, shape (variants, N, classes).
    """

    models: list[bytes]
    calibration: Calibration
    probabilities: NDArray[np.float32]


def calibrate(manifest: Manifest, models: Sequence[bytes], dataset: Dataset) -> Calibrated:
    """Build familiarity into models, anew where they have it, and fit the calibration on the validation part.

    Args:
        manifest: of the family.
        models: ONNX, by variant.
        dataset: that the family was trained on, split as in the training.

    Raises:
        UserError: a model or a picture cannot be used.
    """
    known = dataset.train
    if len(known) > MAX_TRAINING_PICTURES:
        known = cut_off(known, MAX_TRAINING_PICTURES / len(known), _SEED)[1]
    result, found, trained_on = _add_familiarity(manifest, _plain(models), known, dataset.validation)
    probabilities = np.stack(found)
    calibration = fit_calibration(manifest, probabilities, dataset.validation.labels, np.stack(trained_on))
    return Calibrated(result, calibration, probabilities)


def _plain(models: Sequence[bytes]) -> list[bytes]:
    return [without_familiarity(model) if has_familiarity(model) else model for model in models]


def _add_familiarity(
    manifest: Manifest, models: Sequence[bytes], known: Pictures, validation: Pictures
) -> tuple[list[bytes], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return (models with familiarity, their probabilities of the validation pictures, those of the known ones)."""
    classes = len(manifest.classes)
    measured = [with_features(model) for model in models]
    of_known, of_validation = (_run(manifest, measured, pictures) for pictures in (known, validation))
    labels = np.concatenate([known.labels, validation.labels])
    is_trained_on = np.arange(len(labels)) < len(known)
    # Pictures of no class say nothing about what known ones look like.
    used = np.ones(len(labels), dtype=bool) if manifest.none_index is None else labels != manifest.none_index
    result, found, trained_on = [], [], []
    for model, first, second in zip(models, of_known, of_validation, strict=True):
        both = np.concatenate([first, second])[used]
        familiarity = fit_familiarity(
            both[:, classes:], both[:, :classes], labels[used], is_trained_on=is_trained_on[used]
        )
        result.append(with_familiarity(model, familiarity))
        shown = first[used[: len(first)]]
        trained_on.append(familiarity.apply(shown[:, classes:], shown[:, :classes]))
        found.append(familiarity.apply(second[:, classes:], second[:, :classes]))
    return result, found, trained_on


def _run(manifest: Manifest, models: Sequence[bytes], pictures: Pictures) -> list[NDArray[np.float32]]:
    return run_models(manifest, models, pictures, default_encoder(), with_features=True)


def describe_pictures(dataset: Dataset, part: Pictures) -> dict[str, int | float]:
    """Return what a bundle says of the pictures that its family learned from: their number, and what a part looks like.

    Boards see by it which frames do not fit, and evaluations whether pictures were added or removed since.
    """
    chosen = np.linspace(0, len(part) - 1, min(len(part), _DESCRIBED), dtype=int).tolist()
    return {"pictures": len(dataset.everything()), **describe(part.picture(index) for index in chosen)}


def calibrate_bundle(bundle: Bundle, dataset: Dataset, out: Path, zoom: float | None = None) -> Manifest:
    """Write a bundle again, with a zoom, familiarity in its models and a calibration, and return its manifest.

    The folder appears complete or not at all.

    Args:
        bundle: calibrated or not.
        dataset: that it was trained on, split as in the training.
        out: a new folder.
        zoom: of the preprocessing; by default it is chosen on the validation part.

    Raises:
        UserError: the data set has other classes, the bundle was taught it, a model or a picture cannot be used, or the
            folder cannot be written.
    """
    manifest = bundle.manifest
    if dataset.classes != manifest.classes:
        differ = difference(dataset.classes, manifest.classes)
        raise UserError(
            f"'{dataset.name}' has other classes than the bundle '{manifest.name}' ({differ}): name the pictures that "
            "it was trained on"
        )
    if manifest.provenance.get("epochs") == 0 and manifest.provenance.get("dataset") == dataset.name:
        # Teaching learns the validation part, too.
        raise UserError(
            f"the bundle '{manifest.name}' was taught these pictures, and is calibrated by cross-validation on all of "
            "them: for another zoom or more pictures, teach it again (vp teach)"
        )
    if out.exists():
        raise UserError(f"--out {out}: it exists already; name a new folder")
    # What is wrong with `out` is said before the work, not after it.
    with new_bundle_folder(out, manifest.classes) as folder:
        models = [bundle.model_bytes(variant.index) for variant in manifest.variants]
        if zoom is None:
            zoom = choose_zoom(manifest, _plain(models), dataset.validation)
        manifest = zoomed(manifest, zoom)
        calibrated = calibrate(manifest, models, dataset)
        written = _with(manifest, calibrated, dataset)
        for entry, model in zip(manifest.variants, calibrated.models, strict=True):
            (folder / entry.file).write_bytes(model)
        (folder / MANIFEST_NAME).write_bytes(written.canonical())
    return written


def _with(manifest: Manifest, calibrated: Calibrated, dataset: Dataset) -> Manifest:
    """Return the manifest of a calibrated bundle."""
    probabilities, labels = calibrated.probabilities, dataset.validation.labels
    accuracy = evaluate_probabilities(manifest, probabilities, labels, k=manifest.k, by_k=[]).fused
    variants = [
        {**entry.model_dump(), "sha256": hashlib.sha256(model).hexdigest()}
        for entry, model in zip(manifest.variants, calibrated.models, strict=True)
    ]
    changes = {
        "variants": variants,
        "provenance": {
            **manifest.provenance,
            **describe_pictures(dataset, dataset.validation),
            "validation_accuracy": round(accuracy, 4),
        },
        "calibration": calibrated.calibration,
    }
    return Manifest.model_validate({**manifest.model_dump(), **changes})
