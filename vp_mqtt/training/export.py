"""Export: from a checkpoint to a bundle of ONNX models."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, Manifest, Preprocessing, VariantEntry
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import prepare
from vp_mqtt.training.calibration import fit_fusion
from vp_mqtt.training.checkpoint import Checkpoint
from vp_mqtt.training.datasets import Dataset
from vp_mqtt.training.evaluation.evaluate import evaluate_bundle, predict
from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm
from vp_mqtt.training.quantize import CALIBRATION_PICTURES, quantize

Weights = Literal["float16", "float32", "int8"]

MAX_INT8_LOSS = 0.005
"""Fused accuracy that int8 may cost."""

OPSET = 18
_IR_VERSION = 10
_LEAST_HALVED = 256
_CHECKED_INPUTS = 8


@dataclass(frozen=True)
class Exported:
    """What became of a family.

    Attributes:
        manifest: the bundle's.
        largest_difference: between torch's probabilities and those of the float models in ONNX Runtime.
        total_bytes: of all files of the bundle.
        note: what int8 gave, for people; None without int8.
    """

    manifest: Manifest
    largest_difference: float
    total_bytes: int
    note: str | None = None


class _Probabilities(nn.Module):
    def __init__(self, network: VariantNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        return self.network.probabilities(picture)


def halve_weights(model: onnx.ModelProto) -> None:
    """Store large float32 initialisers as float16, with a cast back that a runtime folds when it loads the model."""
    graph = model.graph
    casts = []
    for index, tensor in enumerate(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) >= _LEAST_HALVED:
            stored = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.half")
            casts.append(helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT))
            graph.initializer[index].CopyFrom(stored)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def to_onnx(network: VariantNetwork, resolution: int, weights: Literal["float16", "float32"]) -> bytes:
    """Return a variant as ONNX: float32 (1, 3, resolution, resolution) in, "probabilities" (1, classes) out."""
    module = _Probabilities(fold_batch_norm(network)).eval()
    example = torch.zeros(1, 3, resolution, resolution)
    return module_to_onnx(module, example, input_name="picture", output_name="probabilities", weights=weights)


def module_to_onnx(
    module: nn.Module,
    example: Tensor,
    *,
    input_name: str,
    output_name: str,
    weights: Literal["float16", "float32"] = "float32",
) -> bytes:
    """Return a module as ONNX model.

    Args:
        module: in evaluation mode.
        example: an input, of the only shape that the model will take.
        input_name: of the model's input.
        output_name: of the model's output.
        weights: how large weights are stored.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=[output_name],
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch gave no ONNX program")
    model = program.model_proto
    model.ir_version = _IR_VERSION
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    if weights == "float16":
        halve_weights(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def largest_difference(network: VariantNetwork, model: bytes, resolution: int) -> float:
    """Return how far ONNX Runtime's probabilities are from torch's at most, 0..1, on random inputs."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for _ in range(_CHECKED_INPUTS):
        picture = torch.rand(1, 3, resolution, resolution, generator=generator) * 2 - 1
        with torch.inference_mode():
            expected = network.probabilities(picture).numpy()
        (found,) = session.run(["probabilities"], {"picture": picture.numpy()})
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest


def export(
    checkpoint: Checkpoint,
    out: Path,
    *,
    name: str | None = None,
    weights: Weights = "float16",
    fit: bool = False,
    dataset: Dataset | None = None,
) -> Exported:
    """Write a trained family as a bundle; written aside first, so that there is never half a bundle.

    int8 models are kept only if they lose at most half a point of the fused accuracy on the validation part.

    Args:
        checkpoint: the trained family.
        out: the bundle's folder; a bundle that is there already is replaced.
        name: of the bundle; by default that of the data set.
        weights: how weights are stored. With float16 and float32 the models compute in float32.
        fit: fit temperatures and the votes' weights on the validation part, instead of the paper's weights.
        dataset: what the family was trained on; needed for int8 and to fit. With it the manifest says how good the
            bundle is on the validation part, otherwise how good the training was at its end.

    Raises:
        UserError: the folder holds something else than a bundle, or cannot be written; or the data set is missing or
            not that of the training.
    """
    if out.exists() and not (out / MANIFEST_NAME).is_file() and any(out.iterdir() if out.is_dir() else [out]):
        raise UserError(f"--out {out}: there is something else than a bundle; name a new folder")
    if dataset is None and (fit or weights == "int8"):
        raise UserError("int8 and --fit need the pictures of the training: name them with --data")
    if dataset is not None and dataset.classes != checkpoint.origin.classes:
        raise UserError(f"the classes of '{dataset.name}' are not those of the training")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
            exporter = _Exporter(checkpoint, Path(temporary), name or checkpoint.origin.dataset, dataset)
            exported = exporter.export(weights, fit=fit)
            if out.exists():
                out.rename(Path(temporary) / "former")
            exporter.folder.rename(out)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None
    return exported


class _Exporter:
    """Makes a bundle in a folder aside."""

    def __init__(self, checkpoint: Checkpoint, aside: Path, name: str, dataset: Dataset | None) -> None:
        self._checkpoint = checkpoint
        self._aside = aside
        self._name = name
        self._dataset = dataset
        self._networks = checkpoint.trained_networks()
        self._specs = checkpoint.origin.family.variants
        self._vote_weights = checkpoint.origin.family.weights()
        self._provenance = _provenance(checkpoint)
        self.folder = aside / "bundle"

    def export(self, weights: Weights, *, fit: bool) -> Exported:
        stored: Literal["float16", "float32"] = "float16" if weights == "float16" else "float32"
        if fit:
            self._fit()
        models, difference = self._models(stored)
        self._write(models, stored)
        note = None
        if self._dataset is not None:
            accuracy = self._validation_accuracy()
            if weights == "int8":
                quantized = self._quantized(models)
                self._write(quantized, "int8")
                after = self._validation_accuracy()
                note = f"int8: validation accuracy {after:.2%}, float32: {accuracy:.2%}"
                if accuracy - after > MAX_INT8_LOSS:
                    weights = "float32"
                    note += "; int8 loses too much, float32 is kept"
                else:
                    models, accuracy = quantized, after
            # Of the bundle itself: the training had other arithmetic, and votes that are not rounded.
            self._provenance["validation_accuracy"] = round(accuracy, 4)
        manifest = self._write(models, weights)
        total = sum(path.stat().st_size for path in self.folder.iterdir())
        return Exported(manifest, difference, total, note)

    @property
    def _pictures(self) -> Dataset:
        if self._dataset is None:
            raise RuntimeError("export without a data set")
        return self._dataset

    def _models(self, weights: Literal["float16", "float32"]) -> tuple[list[bytes], float]:
        models, difference = [], 0.0
        for spec, network in zip(self._specs, self._networks, strict=True):
            models.append(to_onnx(network, spec.resolution, weights))
            difference = max(difference, largest_difference(network, models[-1], spec.resolution))
        return models, difference

    def _fit(self) -> None:
        """Fit temperatures, which go into the classifiers, and the weights of the votes."""
        manifest = self._write(self._models("float32")[0], "float32")
        validation = self._pictures.validation
        probabilities = predict(open_bundle(str(self.folder)), validation)
        fitted = fit_fusion(probabilities, validation.labels, manifest.k, sum(self._vote_weights))
        self._vote_weights = list(fitted.weights)
        for network, temperature in zip(self._networks, fitted.temperatures, strict=True):
            for parameter in network.classifier.parameters():
                parameter.data /= temperature
        self._provenance["temperatures"] = " ".join(f"{t:g}" for t in fitted.temperatures)

    def _quantized(self, models: list[bytes]) -> list[bytes]:
        train = self._pictures.train
        rng = np.random.default_rng(self._checkpoint.origin.recipe.seed)
        chosen = rng.permutation(len(train))[:CALIBRATION_PICTURES].tolist()
        return [
            quantize(model, (prepare(train.picture(index), spec.resolution, Preprocessing()) for index in chosen))
            for model, spec in zip(models, self._specs, strict=True)
        ]

    def _validation_accuracy(self) -> float:
        return evaluate_bundle(open_bundle(str(self.folder)), self._pictures.validation).fused

    def _write(self, models: list[bytes], weights: Weights) -> Manifest:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        entries = []
        origin = self._checkpoint.origin
        for index, (spec, network, model) in enumerate(zip(self._specs, self._networks, models, strict=True)):
            file = f"variant-{index}.onnx"
            (self.folder / file).write_bytes(model)
            entries.append(
                VariantEntry(
                    **spec.model_dump(),
                    index=index,
                    weight=self._vote_weights[index],
                    file=file,
                    sha256=hashlib.sha256(model).hexdigest(),
                    params=sum(parameter.numel() for parameter in network.parameters()),
                )
            )
        manifest = Manifest(
            name=self._name,
            classes=origin.classes,
            variants=tuple(entries),
            preprocessing=Preprocessing(),
            k=min(origin.recipe.k, len(origin.classes)),
            provenance={**self._provenance, "weights": weights},
        )
        (self.folder / MANIFEST_NAME).write_bytes(manifest.canonical())
        return manifest


def _provenance(checkpoint: Checkpoint) -> dict[str, str | int | float]:
    origin = checkpoint.origin
    provenance: dict[str, str | int | float] = {
        "dataset": origin.dataset,
        "family": origin.family.name,
        "epochs": checkpoint.epoch,
        "seed": origin.recipe.seed,
        "pretrained": origin.pretrained or "none",
        "teacher": origin.teacher or "none",
    }
    if checkpoint.history:
        provenance["validation_accuracy"] = checkpoint.history[-1]["fused"]
    return provenance
