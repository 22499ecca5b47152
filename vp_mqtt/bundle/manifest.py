"""What a family is, and the manifest of a bundle: an exported family on disk.

The manifest names every model file with its SHA-256, so that the digest of the manifest stands for the whole bundle.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vp_mqtt.errors import UserError
from vp_mqtt.protocol.bundle_names import BundleName
from vp_mqtt.protocol.class_names import ClassName
from vp_mqtt.protocol.votes import MAX_K

MANIFEST_NAME = "manifest.json"
MAX_VARIANTS = 64
MAX_CLASSES = 65_536  # a class index travels as 16 bits
SHORT_DIGEST_BYTES = 4
STAGES = 7
"""Of inverted residuals, in the whole MobileNetV2."""
MAX_ZOOM = 1.25
"""Of a picture, before its centre is cropped."""
NONE_CLASS = "none"
"""Name of the class of background, of empty scenes and of whatever else is not to be told apart."""

_MACS_BY_WIDTH = 1.55
"""MobileNetV2 1.0 has five times the multiplications of 0.35."""
_MACS_BY_STAGES = {3: 0.5, 4: 0.6, 5: 0.8, 6: 0.9, STAGES: 1.0}
"""Roughly, of the whole network's."""


def paper_weight(resolution: int, alpha: float, largest_resolution: int) -> float:
    """Return the weight of a variant's vote in the fusion, greater than 0, as in arXiv 2210.08376.

    (resolution / largest resolution in the family) * (alpha / 0.35) ** 1.15
    """
    return float((resolution / largest_resolution) * (alpha / 0.35) ** 1.15)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VariantSpec(_Strict):
    """A variant's network: MobileNetV2 at a width and a resolution, with a narrow head.

    With `head=1280, pooling="average"` it is MobileNetV2 itself: the base model.
    """

    resolution: int = Field(ge=16, le=1024, description="side of the square input, in pixels")
    alpha: float = Field(default=0.35, gt=0, le=2, description="width multiplier of MobileNetV2")
    head: int = Field(ge=8, le=4096, description="filters of the narrow 1x1 convolution before the classifier")
    pooling: Literal["max", "average"] = Field(default="max", description="of the head's output, over all places")
    knows: tuple[Annotated[int, Field(ge=0, lt=MAX_CLASSES)], ...] | None = Field(
        default=None, min_length=1, description="indices of the classes that the variant covers; null: all of them"
    )
    stages: int = Field(
        default=STAGES,
        ge=3,
        le=STAGES,
        description="first stages of inverted residuals that it has (table 2 of the MobileNetV2 paper); 5 end with 96 "
        "channels at 1/16 of the resolution. Left out of the canonical JSON if it has all of them",
    )


class FamilySpec(_Strict):
    """A family: the variants that are trained together, ordered by index."""

    name: BundleName
    variants: tuple[VariantSpec, ...] = Field(min_length=1, max_length=MAX_VARIANTS)

    def weights(self) -> list[float]:
        """Return the paper's fusion weight of each variant."""
        largest = max(v.resolution for v in self.variants)
        return [paper_weight(v.resolution, v.alpha, largest) for v in self.variants]

    def vote_weights(self) -> list[float]:
        """Return the weight of each variant's vote: the paper's, which grows with the resolution, or equal ones.

        Of variants of several widths, the paper's weight favours the wide ones too much (docs/results.md).
        """
        if len({variant.alpha for variant in self.variants}) > 1:
            return [1.0] * len(self.variants)
        return self.weights()


class Preprocessing(_Strict):
    """How a picture becomes a model's input, in training and on the device alike.

    A picture is resized to a square of resolution * zoom + margin, its centre is cropped to the resolution, the
    channels are put in RGB order, and 0..255 is scaled to -1..1. How it is resized depends on the version:

    1. bicubic if its shorter side is not longer than that of the square, else by area;
    2. the same if its shorter side is not longer; else first by a power of two, so that its shorter side is at least as
       long as that of the square (by area, or as a JPEG's decoder does it), then bilinear.
    """

    version: Literal[1, 2] = Field(default=1, description="left out of the canonical JSON if it is 1")

    fit: Literal["stretch", "cover"] = Field(
        default="stretch",
        description="stretch: the whole picture, whatever its aspect ratio; cover: the largest square at its centre",
    )
    margin: int = Field(default=0, ge=0, le=256, description="pixels cropped away after the resize")
    zoom: float = Field(
        default=1.0,
        ge=1,
        le=MAX_ZOOM,
        description="by how much the picture is enlarged before its centre is cropped: views in training are parts of "
        "pictures, in which things look larger than in whole ones. Left out of the canonical JSON if it is 1",
    )

    @model_validator(mode="after")
    def _crops_once(self) -> Self:
        if self.margin and self.zoom > 1:
            raise ValueError("there is a margin and a zoom: name one of them")
        return self

    def side(self, resolution: int) -> int:
        """Return the side of the square that a picture is resized to, in pixels."""
        return round(resolution * self.zoom) + self.margin


class VariantEntry(VariantSpec):
    """A variant in a bundle."""

    index: int = Field(ge=0, lt=MAX_VARIANTS)
    weight: float = Field(gt=0, le=1e6, allow_inf_nan=False, description="weight of its vote in the fusion")
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="model file, beside the manifest")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    params: int = Field(gt=0, description="number of parameters, without batch norm statistics")

    @property
    def spec(self) -> VariantSpec:
        """The variant's network alone, without its place in the bundle."""
        return VariantSpec(**{name: getattr(self, name) for name in VariantSpec.model_fields})


_Temperature = Annotated[float, Field(ge=0.05, le=20, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Calibration(_Strict):
    """How sure a fused label is, and when it is unknown: fitted on pictures that the family was not trained on.

    Attributes:
        temperatures: of the confidence, by the number of votes (`vp_mqtt.fusion.confidence`): first for one vote.
        thresholds: least score of a picture that counts as known, by the number of votes.
        kept: share of the known pictures that the thresholds are to keep.
        pictures: how many pictures it was fitted on.
    """

    temperatures: Annotated[tuple[_Temperature, ...], Field(min_length=1, max_length=MAX_VARIANTS)]
    thresholds: Annotated[tuple[_Share, ...], Field(min_length=1, max_length=MAX_VARIANTS)]
    kept: _Share
    pictures: int = Field(ge=1)


class Manifest(_Strict):
    """The contents of `manifest.json`."""

    format: Literal[1] = 1
    name: BundleName
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    variants: tuple[VariantEntry, ...] = Field(min_length=1, max_length=MAX_VARIANTS)
    preprocessing: Preprocessing = Preprocessing()
    k: int = Field(default=3, ge=1, le=MAX_K, description="classes in a vote, unless a node's settings say otherwise")
    calibration: Calibration | None = Field(default=None, description="left out of the canonical JSON if it is null")
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
        fitted = self.calibration
        if fitted is not None and {len(fitted.temperatures), len(fitted.thresholds)} != {len(self.variants)}:
            raise ValueError("the calibration needs a temperature and a threshold for every number of votes")
        return self

    def canonical(self) -> bytes:
        """Return the manifest as canonical JSON: these bytes are hashed, and written to disk."""
        # What was not in bundles from before is left out where it says nothing new, so that they keep their digests.
        fields = self.model_dump(exclude={"calibration"} if self.calibration is None else None)
        if self.preprocessing.version == 1:
            del fields["preprocessing"]["version"]
        if self.preprocessing.zoom == 1:
            del fields["preprocessing"]["zoom"]
        for variant in fields["variants"]:
            if variant["stages"] == STAGES:
                del variant["stages"]
        return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical manifest, 32 bytes."""
        return hashlib.sha256(self.canonical()).digest()

    @property
    def split_seed(self) -> int:
        """Seed of the split of the data that the family was trained on: which pictures were held out; 0 if unknown."""
        seed = self.provenance.get("seed")
        return seed if isinstance(seed, int) and seed >= 0 else 0

    @property
    def none_index(self) -> int | None:
        """The index of the class of pictures that show none of the others, which is never a label; None without it."""
        return self.classes.index(NONE_CLASS) if NONE_CLASS in self.classes else None

    @property
    def largest_k(self) -> int:
        """The largest useful number of classes in a vote: half of all classes (arXiv 2210.08376), at least one."""
        return max(1, len(self.classes) // 2)

    def strongest(self, count: int) -> tuple[int, ...]:
        """Return the variants to run on so many boards, ascending: those with the largest weights; at most all."""
        return tuple(sorted(self.ranked()[:count]))

    def ranked(self) -> tuple[int, ...]:
        """Return the variants, those with the largest weights first; of equal ones, those that compute the most."""

        def rank(one: VariantEntry) -> tuple[float, float, int]:
            macs = one.resolution**2 * one.alpha**_MACS_BY_WIDTH * _MACS_BY_STAGES[one.stages]
            return one.weight, macs, one.index

        order = sorted(self.variants, key=rank, reverse=True)
        return tuple(one.index for one in order)

    def check_k(self, k: int, flag: str) -> None:
        """Check that a vote may hold k classes.

        Args:
            k: at least 1.
            flag: command-line flag that set it, for the error message.

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
