"""A bundle that is small, exact and made on the spot: its models tell red, green and blue pictures apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vp_mqtt.bundle.manifest import MANIFEST_NAME, FamilySpec, Manifest, VariantEntry, VariantSpec

CLASSES = ("red", "green", "blue", "grey")
RESOLUTIONS = (16, 24, 32, 40, 48, 56)


def model(resolution: int) -> bytes:
    """Return an ONNX model that gives softmax(4 * mean red, green, blue, 0) for pictures of this resolution."""
    weights = np.concatenate([4 * np.eye(3, dtype=np.float32), np.zeros((3, 1), dtype=np.float32)], axis=1)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["picture", "axes"], ["means"], keepdims=0),
            helper.make_node("MatMul", ["means", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, resolution, resolution])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([2, 3]), "axes")],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(built)
    return bytes(built.SerializeToString())


def write_bundle(folder: Path, name: str = "tiny", resolutions: Sequence[int] = RESOLUTIONS) -> Path:
    """Write a bundle, by default of six variants, into the folder, and return the folder."""
    spec = FamilySpec(name=name, variants=tuple(VariantSpec(resolution=r, head=8) for r in resolutions))
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for index, (variant, weight) in enumerate(zip(spec.variants, spec.weights(), strict=True)):
        data = model(variant.resolution)
        file = f"variant-{index}.onnx"
        (folder / file).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        entry = VariantEntry(**variant.model_dump(), index=index, weight=weight, file=file, sha256=sha256, params=12)
        entries.append(entry)
    manifest = Manifest(name=name, classes=CLASSES, variants=tuple(entries))
    (folder / MANIFEST_NAME).write_bytes(manifest.canonical())
    return folder
