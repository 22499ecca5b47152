"""Bundles on disk: a folder that holds `manifest.json` and one model file per variant."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vp_mqtt.bundle.manifest import MANIFEST_NAME, Manifest, VariantEntry
from vp_mqtt.bundle.model_file import check_model
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error

_BUILT_IN = Path(__file__).parents[1] / "assets" / "bundles"


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
        """Return the content of a variant's model file, verified against its digest; see also `check_model`.

        Raises:
            UserError: no such variant, or its file is missing, unreadable, not the one that the manifest names, or
                holds what no model of ours holds.
        """
        entry = self.variant(index)
        path = self.folder / entry.file
        model = read_verified(path, entry.sha256, "export or copy the bundle again")
        try:
            check_model(model)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        return model


def read_verified(path: Path, sha256: str, remedy: str) -> bytes:
    """Return the content of a bundle's file, verified against its digest.

    Args:
        path: of the file.
        sha256: its digest, in hexadecimal.
        remedy: what to do if the file is not valid, for the error message.

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


def builtin_bundles() -> list[str]:
    """Return the names of the built-in bundles: those that ship with the package."""
    return sorted(path.parent.name for path in _BUILT_IN.glob(f"*/{MANIFEST_NAME}"))


def open_bundle(name_or_folder: str | Path) -> Bundle:
    """Open a built-in bundle by its name, or any by its folder. Models are checked when they are read.

    Raises:
        UserError: there is no such bundle, or its manifest is not valid.
    """
    built_in = _BUILT_IN / str(name_or_folder)
    folder = built_in if str(name_or_folder) in builtin_bundles() else Path(name_or_folder)
    path = folder / MANIFEST_NAME
    try:
        text = path.read_bytes()
    except (OSError, ValueError) as error:
        known = ", ".join(builtin_bundles()) or "none"
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"no bundle at '{name_or_folder}' ({path}: {reason}); built in: {known}") from None
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error)}; export or copy the bundle again") from None
    return Bundle(folder=folder, manifest=manifest)
