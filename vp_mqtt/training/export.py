"""Export: from a checkpoint to a bundle of ONNX models."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import Calibration, Manifest, Preprocessing
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import prepare
from vp_mqtt.training import datasets
from vp_mqtt.training.bundle_writer import VariantModel, new_bundle_folder, write_bundle
from vp_mqtt.training.calibrate import calibrate, describe_pictures
from vp_mqtt.training.calibration import fit_fusion
from vp_mqtt.training.checkpoint import Checkpoint, Origin
from vp_mqtt.training.datasets import Dataset
from vp_mqtt.training.evaluation.evaluate import evaluate_bundle, evaluate_probabilities, predict
from vp_mqtt.training.onnx_export import largest_difference, to_onnx
from vp_mqtt.training.onnx_weights import Stored
from vp_mqtt.training.quantize import CALIBRATION_PICTURES, quantize
from vp_mqtt.training.zoom import choose_zoom, zoomed

Weights = Stored | Literal["int8"]
WEIGHTS: tuple[Weights, ...] = ("float16", "float32", "int8-stored", "int8")

MAX_INT8_LOSS = 0.005
"""Accuracy of the fused label, 0..1, that weights in 8 bits may cost at most."""


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        manifest: the bundle's.
        largest_difference: largest difference between the probabilities of torch and those of the models that compute
            in float32 in ONNX Runtime, 0..1; with int8, of those before they were quantised.
        total_bytes: size of all files of the bundle.
        note: what weights in 8 bits cost, as a line of text; None with others.
    """

    manifest: Manifest
    largest_difference: float
    total_bytes: int
    note: str | None = None


def needs_pictures(weights: Weights) -> bool:
    """Return whether the accuracy with such weights is measured, which takes the training's pictures."""
    return weights not in {"float16", "float32"}


def export_bundle(
    checkpoint: Checkpoint,
    out: Path,
    *,
    name: str | None = None,
    weights: Weights = "float16",
    fit: bool = False,
    zoom: float | None = None,
    dataset: Dataset | None = None,
) -> Exported:
    """Write a trained family as a bundle; the folder appears complete or not at all.

    With a data set, the models are given familiarity, and the bundle a calibration, by its validation part. Models with
    weights in 8 bits are used only if they lose at most half a point of the fused label's accuracy on that part.

    Args:
        checkpoint: the trained family.
        out: the bundle's folder; an existing bundle of the same classes is replaced.
        name: of the bundle; by default the data set's.
        weights: how large weights are stored. The models compute in float32, but for "int8", which computes in 8 bits.
        fit: fit temperatures and vote weights on the validation part, instead of using the paper's weights.
        zoom: of the preprocessing; by default it is chosen on the validation part.
        dataset: the training's data; required for weights in 8 bits, fitting and calibration. With it, the manifest's
            validation accuracy is the bundle's, without it that of the last epoch.

    Raises:
        UserError: the folder holds something other than a bundle of these classes, or cannot be written; or the data
            set is missing or not the training's.
    """
    if dataset is None and (fit or needs_pictures(weights)):
        raise UserError("weights in int8 and --fit need the training's pictures: name them with --data")
    if dataset is not None and dataset.classes != checkpoint.origin.classes:
        raise UserError(f"the classes of '{dataset.name}' are not those of the training")
    with new_bundle_folder(out, checkpoint.origin.classes) as folder:
        exporter = _Exporter(checkpoint, folder, name or checkpoint.origin.dataset, dataset, zoom)
        return exporter.export(weights, fit=fit)


def load_data_of(origin: Origin, data: str | None = None, root: Path | None = None) -> Dataset:
    """Return a training's data, split as the training split it.

    Args:
        origin: of the training.
        data: a data set's name or a folder; by default where the training read it.
        root: folder of a named data set; by default the training's.

    Raises:
        UserError: it is not there, or the checkpoint does not say where it is.
    """
    if data is None:
        data = origin.data or (origin.dataset if origin.dataset in datasets.NAMED else None)
        root = root or (Path(origin.root) if origin.root else None)
    if data is None:
        raise UserError("the checkpoint does not say where its pictures are")
    return datasets.load(data, root, origin.seed_of_split)


class _Exporter:
    """Makes a bundle in a folder."""

    def __init__(
        self, checkpoint: Checkpoint, folder: Path, name: str, dataset: Dataset | None, zoom: float | None
    ) -> None:
        self.folder = folder
        self._checkpoint = checkpoint
        self._name = name
        self._dataset = dataset
        self._networks = checkpoint.trained_networks()
        self._specs = checkpoint.origin.family.variants
        self._vote_weights = checkpoint.origin.family.vote_weights()
        self._provenance = _provenance(checkpoint)
        if dataset is not None:
            self._provenance |= describe_pictures(dataset, dataset.validation)
        self._zoom = zoom
        self._preprocessing = Preprocessing(version=checkpoint.origin.recipe.preprocessing, zoom=zoom or 1.0)

    def export(self, weights: Weights, *, fit: bool) -> Exported:
        stored: Stored = "float16" if weights == "float16" else "float32"
        models, difference = self._convert(stored)
        if self._dataset is not None:
            # First, since what is fitted, quantised and calibrated is so for what boards will see.
            self._choose_zoom(models, self._dataset)
            if fit:
                self._fit(models, self._dataset)
                models, difference = self._convert(stored)
        note = None
        if needs_pictures(weights) and self._dataset is not None:
            models, weights, note = self._try_int8(models, weights, self._dataset)
            if weights == "int8-stored":
                difference = self._largest_difference(models)
        manifest = self._write(models, weights)
        if self._dataset is not None:
            manifest = self._calibrate(manifest, models, self._dataset, weights)
        total = sum(path.stat().st_size for path in self.folder.iterdir())
        return Exported(manifest, difference, total, note)

    def _try_int8(self, models: list[bytes], weights: Weights, dataset: Dataset) -> tuple[list[bytes], Weights, str]:
        """Return (models in 8 bits, or the same ones if that loses too much; the type of their weights; a note)."""
        self._write(models, "float32")
        accuracy = self._validation_accuracy(dataset)
        quantized = self._quantize(models, dataset) if weights == "int8" else self._convert(weights)[0]
        self._write(quantized, weights)
        quantized_accuracy = self._validation_accuracy(dataset)
        note = f"{weights}: validation accuracy {quantized_accuracy:.2%}, float32: {accuracy:.2%}"
        if accuracy - quantized_accuracy > MAX_INT8_LOSS:
            return models, "float32", f"{note}; {weights} loses too much, float32 is kept"
        return quantized, weights, note

    def _choose_zoom(self, models: list[bytes], dataset: Dataset) -> None:
        if self._zoom is None:
            manifest = self._write(models, "float32")
            self._preprocessing = zoomed(manifest, choose_zoom(manifest, models, dataset.validation)).preprocessing

    def _calibrate(self, manifest: Manifest, models: list[bytes], dataset: Dataset, weights: Weights) -> Manifest:
        calibrated = calibrate(manifest, models, dataset)
        labels = dataset.validation.labels
        # The bundle's own accuracy: in training, arithmetic differs and votes are not rounded.
        accuracy = evaluate_probabilities(manifest, calibrated.probabilities, labels, k=manifest.k, by_k=[]).fused
        self._provenance["validation_accuracy"] = round(accuracy, 4)
        return self._write(calibrated.models, weights, calibrated.calibration)

    def _convert(self, weights: Stored) -> tuple[list[bytes], float]:
        """Return the ONNX models, and the largest difference between their probabilities and torch's."""
        pairs = zip(self._specs, self._networks, strict=True)
        models = [to_onnx(network, spec.resolution, weights) for spec, network in pairs]
        return models, self._largest_difference(models)

    def _largest_difference(self, models: list[bytes]) -> float:
        compared = zip(self._specs, self._networks, models, strict=True)
        return max(largest_difference(network, model, spec.resolution) for spec, network, model in compared)

    def _fit(self, models: list[bytes], dataset: Dataset) -> None:
        """Fit temperatures, which are folded into the classifiers, and vote weights."""
        manifest = self._write(models, "float32")
        probabilities = predict(open_bundle(str(self.folder)), dataset.validation)
        fitted = fit_fusion(probabilities, dataset.validation.labels, manifest.k, sum(self._vote_weights))
        self._vote_weights = list(fitted.weights)
        for network, temperature in zip(self._networks, fitted.temperatures, strict=True):
            for parameter in network.classifier.parameters():
                parameter.data /= temperature
        self._provenance["temperatures"] = " ".join(f"{temperature:g}" for temperature in fitted.temperatures)

    def _quantize(self, models: list[bytes], dataset: Dataset) -> list[bytes]:
        rng = np.random.default_rng(self._checkpoint.origin.recipe.seed)
        pictures = dataset.train
        chosen = rng.permutation(len(pictures))[:CALIBRATION_PICTURES].tolist()
        return [
            quantize(
                model, (prepare(pictures.picture(index), spec.resolution, self._preprocessing) for index in chosen)
            )
            for model, spec in zip(models, self._specs, strict=True)
        ]

    def _validation_accuracy(self, dataset: Dataset) -> float:
        return evaluate_bundle(open_bundle(str(self.folder)), dataset.validation).fused

    def _write(self, models: list[bytes], weights: Weights, calibration: Calibration | None = None) -> Manifest:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        origin = self._checkpoint.origin
        params = [sum(parameter.numel() for parameter in network.parameters()) for network in self._networks]
        variants = zip(self._specs, self._vote_weights, models, params, strict=True)
        return write_bundle(
            self.folder,
            [VariantModel(*variant) for variant in variants],
            name=self._name,
            classes=origin.classes,
            k=min(origin.recipe.k, len(origin.classes)),
            provenance={**self._provenance, "weights": weights},
            calibration=calibration,
            preprocessing=self._preprocessing,
        )


def _provenance(checkpoint: Checkpoint) -> dict[str, str | int | float]:
    origin = checkpoint.origin
    provenance: dict[str, str | int | float] = {
        "dataset": origin.dataset,
        "family": origin.family.name,
        "epochs": checkpoint.epoch,
        "seed": origin.seed_of_split,
        "pretrained": origin.pretrained or "none",
        "teacher": origin.teacher or "none",
    }
    if checkpoint.history:
        provenance["validation_accuracy"] = checkpoint.history[-1]["fused"]
    return provenance
