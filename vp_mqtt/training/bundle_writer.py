"""Writes a family's models and their manifest as a bundle."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, Calibration, Manifest, Preprocessing, VariantEntry, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.files import why_unwritable


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


@contextlib.contextmanager
def new_bundle_folder(out: Path, classes: Sequence[str]) -> Iterator[Path]:
    """Give an empty folder that becomes the bundle's when all is done: it appears complete or not at all.

    Args:
        out: the bundle's folder; an existing bundle of the same classes is replaced.
        classes: of the bundle.

    Raises:
        UserError: the folder holds something other than a bundle of these classes, or cannot be written.
    """
    check_replaceable(out, classes)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
            folder = Path(temporary) / "bundle"
            folder.mkdir()
            yield folder
            if out.exists():
                out.rename(Path(temporary) / "previous")
            folder.rename(out)
    except OSError as error:
        raise UserError(f"--out {out}: {why_unwritable(out, error)}") from None


def check_replaceable(out: Path, classes: Sequence[str]) -> None:
    """Check that a new bundle may be written to a folder. Raises what `new_bundle_folder` does."""
    if out.is_mount() or out.resolve() == Path.cwd():
        raise UserError(f"--out {out}: this folder itself cannot be replaced; name a new one inside it, or beside it")
    if (out / MANIFEST_NAME).is_file():
        manifest = open_bundle(out).manifest
        if manifest.classes != tuple(classes):
            raise UserError(f"--out {out}: there is a bundle of other classes, '{manifest.name}'; name another folder")
        own = {MANIFEST_NAME, *(entry.file for entry in manifest.variants)}
        if others := sorted(path.name for path in out.iterdir() if path.name not in own):
            raise UserError(f"--out {out}: there is more than a bundle: {others[0]}; name another folder")
    elif out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise UserError(f"--out {out}: there is something other than a bundle; name a new folder")


def write_bundle(
    folder: Path,
    variants: Sequence[VariantModel],
    *,
    name: str,
    classes: tuple[str, ...],
    k: int,
    provenance: Mapping[str, str | int | float],
    calibration: Calibration | None = None,
    preprocessing: Preprocessing | None = None,
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
        preprocessing: that the family was trained with; by default that of version 1.

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
        preprocessing=preprocessing or Preprocessing(),
        k=k,
        provenance=dict(provenance),
        calibration=calibration,
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.canonical())
    return manifest
