"""Families of variants, and bundles: an exported family on disk.

A bundle is a folder that holds `manifest.json` and one model file per variant. The manifest names every model file with
its SHA-256, so that the digest of the manifest stands for the whole bundle.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error
from vp_mqtt.protocol.class_names import ClassName

MANIFEST_NAME = "manifest.json"
MAX_VARIANTS = 64
MAX_CLASSES = 65_536  # a class index travels as 16 bits
SHORT_DIGEST_BYTES = 4

_BOXED = Path(__file__).parents[1] / "assets" / "bundles"


def paper_weight(resolution: int, alpha: float, largest_resolution: int) -> float:
    """Return the weight of a variant's vote in the fusion, greater than 0.

    (resolution / largest resolution in the family) * (alpha / 0.35) ** 1.15, as the authors of arXiv 2210.08376 do it.
    """
    return float((resolution / largest_resolution) * (alpha / 0.35) ** 1.15)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VariantSpec(_Strict):
    """What makes one variant: MobileNetV2 at a width and a resolution, with a narrow head.

    With `head=1280, pooling="average"` it is MobileNetV2 itself: the base model.
    """

    resolution: int = Field(ge=16, le=1024, description="side of the square input, in pixels")
    alpha: float = Field(default=0.35, gt=0, le=2, description="width multiplier of MobileNetV2")
    head: int = Field(ge=8, le=4096, description="filters of the narrow 1x1 convolution before the classifier")
    pooling: Literal["max", "average"] = Field(default="max", description="of the head's output, over all places")
    knows: tuple[Annotated[int, Field(ge=0, lt=MAX_CLASSES)], ...] | None = Field(
        default=None, min_length=1, description="indices of the only classes that it knows (class parallelism)"
    )


class FamilySpec(_Strict):
    """The variants that are trained together, ordered by index."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    variants: tuple[VariantSpec, ...] = Field(min_length=1, max_length=MAX_VARIANTS)

    def weights(self) -> list[float]:
        """Return the paper's fusion weight of each variant."""
        largest = max(v.resolution for v in self.variants)
        return [paper_weight(v.resolution, v.alpha, largest) for v in self.variants]


class Preprocessing(_Strict):
    """How a picture becomes a model's input; part of the bundle, the same in training and on the device.

    A picture is resized to a square of resolution + margin (area interpolation where it shrinks, bicubic where it
    grows), its centre is cropped to the resolution, the channels are put in RGB order, and 0..255 is scaled to -1..1.
    """

    fit: Literal["stretch", "cover"] = Field(
        default="stretch",
        description="stretch: the whole picture, aspect ratio ignored; cover: the largest square at its centre",
    )
    margin: int = Field(default=0, ge=0, le=256, description="pixels cropped away after the resize")


class VariantEntry(VariantSpec):
    """One variant in a bundle."""

    index: int = Field(ge=0, lt=MAX_VARIANTS)
    weight: float = Field(gt=0, le=1e6, allow_inf_nan=False, description="weight of its vote in the fusion")
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="model file, beside the manifest")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    params: int = Field(gt=0, description="parameters, batch norm statistics left out")


class Manifest(_Strict):
    """The contents of `manifest.json`."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    variants: tuple[VariantEntry, ...] = Field(min_length=1, max_length=MAX_VARIANTS)
    preprocessing: Preprocessing = Preprocessing()
    k: int = Field(default=3, ge=1, description="classes in a vote, unless a node is told otherwise")
    provenance: dict[str, str | int | float] = Field(
        default_factory=dict, description="what the family was made from, for people"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if [v.index for v in self.variants] != list(range(len(self.variants))):
            raise ValueError("the variants must be listed by index, 0, 1, 2, ..")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes have the same name")
        if self.k > len(self.classes):
            raise ValueError(f"k is {self.k}, but there are only {len(self.classes)} classes")
        return self

    def canonical(self) -> bytes:
        """Return the manifest as canonical JSON: what is digested, and what is written to disk."""
        return json.dumps(self.model_dump(), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical manifest, 32 bytes."""
        return hashlib.sha256(self.canonical()).digest()

    @property
    def largest_k(self) -> int:
        """The most classes that a vote is worth sending with: half of them (arXiv 2210.08376), at least one."""
        return max(1, len(self.classes) // 2)

    def check_k(self, k: int, flag: str) -> None:
        """Check that a vote may hold k classes.

        Args:
            k: at least 1.
            flag: that it was given with, for people.

        Raises:
            UserError: it is more than half of the classes.
        """
        if k > self.largest_k:
            raise UserError(
                f"{flag} {k}: a vote holds at most half of the classes; the bundle '{self.name}' has "
                f"{len(self.classes)}, so write {self.largest_k} or less"
            )

    @property
    def short_digest(self) -> bytes:
        """The first 4 bytes of the digest, as votes carry it."""
        return self.digest[:SHORT_DIGEST_BYTES]


@dataclass(frozen=True)
class Bundle:
    """An exported family on disk."""

    folder: Path
    manifest: Manifest

    def variant(self, index: int) -> VariantEntry:
        """Return the variant with this index.

        Raises:
            UserError: the family has no such variant.
        """
        variants = self.manifest.variants
        if not 0 <= index < len(variants):
            raise UserError(f"variant {index}: the bundle '{self.manifest.name}' has variants 0 to {len(variants) - 1}")
        return variants[index]

    def model_bytes(self, index: int) -> bytes:
        """Return the variant's model file, checked against its digest.

        Raises:
            UserError: no such variant, or its file is missing, unreadable or not the one that the manifest names.
        """
        entry = self.variant(index)
        return read_verified(self.folder / entry.file, entry.sha256, "export or copy the bundle again")


def read_verified(path: Path, sha256: str, remedy: str) -> bytes:
    """Return a file's content, checked against its digest.

    Args:
        path: of the file.
        sha256: in hexadecimal.
        remedy: what to do if the file is not right, for people.

    Raises:
        UserError: the file is missing, unreadable, or not the one that the digest names.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; the bundle is incomplete, {remedy}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: its SHA-256 is not the manifest's; {remedy}")
    return data


def boxed_bundles() -> list[str]:
    """Return the names of the bundles that ship with the package."""
    return sorted(path.parent.name for path in _BOXED.glob(f"*/{MANIFEST_NAME}"))


def open_bundle(name_or_folder: str | Path) -> Bundle:
    """Open a bundle by the name of one in the box, or by its folder. Models are checked when they are read.

    Raises:
        UserError: there is no such bundle, or its manifest is not valid.
    """
    boxed = _BOXED / str(name_or_folder)
    folder = boxed if str(name_or_folder) in boxed_bundles() else Path(name_or_folder)
    path = folder / MANIFEST_NAME
    try:
        text = path.read_bytes()
    except (OSError, ValueError) as error:
        known = ", ".join(boxed_bundles()) or "none"
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"no bundle at '{name_or_folder}' ({path}: {reason}); in the box: {known}") from None
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error)}; export or copy the bundle again") from None
    return Bundle(folder=folder, manifest=manifest)
