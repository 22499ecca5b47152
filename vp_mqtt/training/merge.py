"""Merges variants of several bundles of the same classes into one bundle, without their trainings; needs no torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.manifest import MAX_VARIANTS, FamilySpec, Manifest, Preprocessing, VariantEntry
from vp_mqtt.errors import UserError
from vp_mqtt.training.bundle_writer import VariantModel, new_bundle_folder, write_bundle


@dataclass(frozen=True)
class Part:
    """Variants of one bundle.

    Attributes:
        bundle: that has them.
        given: how the user named it, for messages.
        variants: their indices there, in the order in which the merged bundle is to have them.
    """

    bundle: Bundle
    given: str
    variants: tuple[int, ...]

    def entries(self) -> list[VariantEntry]:
        """Return the variants as the bundle's manifest describes them."""
        return [self.bundle.variant(index) for index in self.variants]

    def describe(self) -> str:
        """Return what the merged bundle's provenance says of this part."""
        manifest = self.bundle.manifest
        return f"{manifest.name} ({manifest.short_digest.hex()}) {','.join(map(str, self.variants))}"


def parse_part(text: str) -> Part:
    """Return the variants that BUNDLE:0,2,5 names, or, without numbers, all of a bundle.

    Raises:
        UserError: there is no such bundle, or it has no such variant.
    """
    name, colon, numbers = text.rpartition(":")
    if not colon or Path(text).exists() or not numbers.replace(",", "").isdecimal():
        bundle = open_bundle(text)
        return Part(bundle, text, tuple(range(len(bundle.manifest.variants))))
    bundle = open_bundle(name)
    chosen = tuple(int(number) for number in numbers.split(",") if number)
    try:
        for number in chosen:
            bundle.variant(number)
    except UserError as error:
        raise UserError(f"{text}: {error}") from None
    if len(set(chosen)) < len(chosen):
        raise UserError(f"{text}: it names a variant twice")
    return Part(bundle, name, chosen)


def merge(parts: Sequence[Part], out: Path, *, name: str | None = None, preprocessing: int | None = None) -> Manifest:
    """Write the variants of several bundles as one bundle, numbered in the order of the parts; return its manifest.

    The votes have the weights that `vp export` gives to such a family, but for variants of a single bundle, which keep
    theirs. The calibration of the parts says nothing about the whole, so that there is none.

    Args:
        parts: of the same classes in the same order.
        out: the bundle's folder; an existing bundle of the same classes is replaced.
        name: of the bundle; by default that of the first part's.
        preprocessing: version for all variants, also for those that were trained with another.

    Raises:
        UserError: the parts do not fit together, a model cannot be used, or the folder cannot be written.
    """
    first = parts[0].bundle.manifest
    _check(parts)
    prepared = _common_preprocessing(parts, preprocessing)
    chosen = [(part, entry) for part in parts for entry in part.entries()]
    specs = tuple(entry.spec for _, entry in chosen)
    weights = FamilySpec(name=name or first.name, variants=specs).vote_weights()
    if len({part.bundle.manifest.digest for part in parts}) == 1:
        weights = [entry.weight for _, entry in chosen]
    models = [part.bundle.model_bytes(entry.index) for part, entry in chosen]
    variants = [
        VariantModel(spec, weight, model, entry.params)
        for spec, weight, model, (_, entry) in zip(specs, weights, models, chosen, strict=True)
    ]
    with new_bundle_folder(out, first.classes) as folder:
        return write_bundle(
            folder,
            variants,
            name=name or first.name,
            classes=first.classes,
            k=min(part.bundle.manifest.k for part in parts),
            provenance=_provenance(parts),
            preprocessing=prepared,
        )


def _check(parts: Sequence[Part]) -> None:
    """Check that the parts can vote together.

    Raises:
        UserError: they cannot.
    """
    first = parts[0]
    for other in parts[1:]:
        both = f"{first.given} and {other.given} cannot be merged"
        ours, theirs = first.bundle.manifest.classes, other.bundle.manifest.classes
        if ours != theirs:
            raise UserError(f"{both}: {difference(ours, theirs)}")
        one, two = first.bundle.manifest.split_seed, other.bundle.manifest.split_seed
        if one != two:
            raise UserError(
                f"{both}: they were trained with the seeds {one} and {two}, so that each has learned from pictures "
                "that the other held out; train both with the same --seed"
            )
    count = sum(len(part.variants) for part in parts)
    if count > MAX_VARIANTS:
        raise UserError(f"these are {count} variants; a bundle has at most {MAX_VARIANTS}")
    _check_named_once(parts)


def _check_named_once(parts: Sequence[Part]) -> None:
    taken: dict[tuple[bytes, int], str] = {}
    for part in parts:
        for index in part.variants:
            first = taken.get((part.bundle.manifest.digest, index))
            if first is not None:
                where = part.given if first == part.given else f"{first} and {part.given}, which are the same bundle"
                raise UserError(f"variant {index} of {where}: named twice, it would have two votes; name it once")
            taken[part.bundle.manifest.digest, index] = part.given


def difference(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    """Return how the classes of two bundles, or of a bundle and a data set, differ."""
    for one, other, which in ((ours, theirs, "first"), (theirs, ours, "second")):
        missing = [name for name in one if name not in other]
        if missing:
            return f"only the {which} knows the class '{missing[0]}'"
    return "they have the same classes in another order"


def _common_preprocessing(parts: Sequence[Part], version: int | None) -> Preprocessing:
    """Return the preprocessing of the merged bundle; of different zooms, which calibration chooses anew, the median.

    Raises:
        UserError: the parts have different ones, and no version is given for all.
    """
    ways = [part.bundle.manifest.preprocessing for part in parts]
    zoom = statistics.median_low(way.zoom for way in ways)
    ways = [way.model_copy(update={"zoom": zoom}) for way in ways]
    if version is not None:
        ways = [Preprocessing.model_validate({**way.model_dump(), "version": version}) for way in ways]
    for part, way in zip(parts, ways, strict=True):
        if way != ways[0]:
            names = f"{parts[0].given} and {part.given}"
            if way.model_copy(update={"version": ways[0].version}) == ways[0]:
                raise UserError(
                    f"{names} prepare pictures in different ways, versions {ways[0].version} and {way.version}: choose "
                    "one for both with --preprocessing, and compare accuracy (vp eval)"
                )
            raise UserError(f"{names} cannot be merged: they crop pictures in different ways")
    return ways[0]


def _provenance(parts: Sequence[Part]) -> dict[str, str | int | float]:
    """Return what all parts have in common, and what they are."""
    first, *others = (part.bundle.manifest.provenance for part in parts)
    common = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    # The accuracy was that of a part.
    common.pop("validation_accuracy", None)
    seed = parts[0].bundle.manifest.split_seed
    return {**common, "seed": seed, "merged": "; ".join(part.describe() for part in parts)}
