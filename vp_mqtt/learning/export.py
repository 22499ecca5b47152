"""Export: from a checkpoint to a bundle of ONNX models."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import logging
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
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vp_mqtt.errors import UserError
from vp_mqtt.family import MANIFEST_NAME, Manifest, Preprocessing, VariantEntry
from vp_mqtt.learning.checkpoint import Checkpoint
from vp_mqtt.learning.networks import VariantNetwork

Weights = Literal["float16", "float32"]

OPSET = 18
_IR_VERSION = 10
_LEAST_HALVED = 256
_CHECKED_INPUTS = 8


@dataclass(frozen=True)
class Exported:
    """What became of a family.

    Attributes:
        manifest: the bundle's.
        largest_difference: between torch's probabilities and ONNX Runtime's, over all variants, on random inputs.
        total_bytes: of all files of the bundle.
    """

    manifest: Manifest
    largest_difference: float
    total_bytes: int


class _Probabilities(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        probabilities: Tensor = self.network(picture).softmax(1)
        return probabilities


def fold_batch_norm(network: VariantNetwork) -> VariantNetwork:
    """Return a copy for inference whose batch norms are folded into the convolutions before them."""
    folded = copy.deepcopy(network).eval()
    for sequence in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for index in range(len(sequence) - 1):
            convolution, norm = sequence[index], sequence[index + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                sequence[index] = fuse_conv_bn_eval(convolution, norm)
                sequence[index + 1] = nn.Identity()
    return folded


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


def to_onnx(network: VariantNetwork, resolution: int, weights: Weights) -> bytes:
    """Return a variant as ONNX: float32 (1, 3, resolution, resolution) in, "probabilities" (1, classes) out."""
    example = torch.zeros(1, 3, resolution, resolution)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Probabilities(fold_batch_norm(network)).eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["picture"],
            output_names=["probabilities"],
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
            expected = network(picture).softmax(1).numpy()
        (found,) = session.run(["probabilities"], {"picture": picture.numpy()})
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest


def export(checkpoint: Checkpoint, out: Path, *, name: str | None = None, weights: Weights = "float16") -> Exported:
    """Write a trained family as a bundle; written aside first, so that there is never half a bundle.

    Args:
        checkpoint: the trained family.
        out: the bundle's folder; a bundle that is there already is replaced.
        name: of the bundle; by default that of the data set.
        weights: how large weights are stored. Either way the models compute in float32.

    Raises:
        UserError: the folder holds something else than a bundle, or cannot be written.
    """
    if out.exists() and not (out / MANIFEST_NAME).is_file() and any(out.iterdir() if out.is_dir() else [out]):
        raise UserError(f"--out {out}: there is something else than a bundle; name a new folder")
    origin = checkpoint.origin
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
            aside = Path(temporary) / "bundle"
            aside.mkdir()
            entries: list[VariantEntry] = []
            difference = 0.0
            variants = zip(origin.family.variants, origin.family.weights(), checkpoint.trained_networks(), strict=True)
            for index, (spec, weight, network) in enumerate(variants):
                model = to_onnx(network, spec.resolution, weights)
                difference = max(difference, largest_difference(network, model, spec.resolution))
                file = f"variant-{index}.onnx"
                (aside / file).write_bytes(model)
                entries.append(
                    VariantEntry(
                        **spec.model_dump(),
                        index=index,
                        weight=weight,
                        file=file,
                        sha256=hashlib.sha256(model).hexdigest(),
                        params=sum(parameter.numel() for parameter in network.parameters()),
                    )
                )
            manifest = Manifest(
                name=name or origin.dataset,
                classes=origin.classes,
                variants=tuple(entries),
                preprocessing=Preprocessing(),
                k=min(origin.recipe.k, len(origin.classes)),
                provenance=_provenance(checkpoint, weights),
            )
            (aside / MANIFEST_NAME).write_bytes(manifest.canonical())
            total = sum(path.stat().st_size for path in aside.iterdir())
            if out.exists():
                out.rename(Path(temporary) / "former")
            aside.rename(out)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None
    return Exported(manifest, difference, total)


def _provenance(checkpoint: Checkpoint, weights: Weights) -> dict[str, str | int | float]:
    origin = checkpoint.origin
    provenance: dict[str, str | int | float] = {
        "dataset": origin.dataset,
        "family": origin.family.name,
        "epochs": checkpoint.epoch,
        "seed": origin.recipe.seed,
        "pretrained": origin.pretrained or "none",
        "weights": weights,
    }
    if checkpoint.history:
        provenance["validation_accuracy"] = checkpoint.history[-1]["fused"]
    return provenance
