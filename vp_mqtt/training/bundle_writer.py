"""Writes a family's models and their manifest as a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle.manifest import MANIFEST_NAME, Calibration, Manifest, Preprocessing, VariantEntry, VariantSpec


@dataclass(frozen=True)
class VariantModel:
    """One variant of a bundle.

    Attributes:
        spec: resolution, width and head.
        weight: of its vote.
        model: ONNX file.
        params: number of parameters, without batch norm statistics.
    """

    spec: VariantSpec
    weight: float
    model: bytes
    params: int


def write_bundle(
    folder: Path,
    variants: Sequence[VariantModel],
    *,
    name: str,
    classes: tuple[str, ...],
    k: int,
    provenance: Mapping[str, str | int | float],
    calibration: Calibration | None = None,
) -> Manifest:
    """Write models and manifest into a folder, and return the manifest.

    Args:
        folder: an existing, empty folder.
        variants: by index.
        name: of the bundle.
        classes: class names by index.
        k: classes in a vote.
        provenance: what the family was made from.
        calibration: of confidence and thresholds; None without.

    Raises:
        OSError: a file cannot be written.
    """
    entries = []
    for index, variant in enumerate(variants):
        file = f"variant-{index}.onnx"
        (folder / file).write_bytes(variant.model)
        entries.append(
            VariantEntry(
                **variant.spec.model_dump(),
                index=index,
                weight=variant.weight,
                file=file,
                sha256=hashlib.sha256(variant.model).hexdigest(),
                params=variant.params,
            )
        )
    manifest = Manifest(
        name=name,
        classes=classes,
        variants=tuple(entries),
        preprocessing=Preprocessing(),
        k=k,
        provenance=dict(provenance),
        calibration=calibration,
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.canonical())
    return manifest
