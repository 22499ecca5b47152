"""The canonical form of a manifest, and the digest of a bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bundle.helpers import manifest_fields, rewritten, with_variant
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, Calibration, Manifest


def test_a_bundle_without_a_calibration_keeps_its_digest(folder: Path) -> None:
    manifest = open_bundle(folder).manifest
    assert b"calibration" not in manifest.canonical()
    assert manifest.digest == hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).digest()


def test_a_calibration_survives_the_canonical_form(folder: Path) -> None:
    fitted = {"temperatures": [0.5] * 6, "thresholds": [0.9] * 6, "kept": 0.95, "pictures": 20}
    manifest = open_bundle(rewritten(folder, calibration=fitted)).manifest
    assert manifest.calibration == Calibration.model_validate(fitted)
    assert Manifest.model_validate_json(manifest.canonical()) == manifest


def test_the_digest_is_the_sha256_of_the_canonical_manifest(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.digest == hashlib.sha256((bundle / MANIFEST_NAME).read_bytes()).digest()
    assert manifest.short_digest == manifest.digest[:4]


def test_the_digest_does_not_depend_on_how_the_file_is_laid_out(folder: Path) -> None:
    provenance = {"seed": 1, "epochs": 2}
    digest = open_bundle(rewritten(folder, provenance=provenance)).manifest.digest
    fields = manifest_fields(folder) | {"provenance": dict(reversed(provenance.items()))}
    backwards = {name: fields[name] for name in reversed(fields)}
    (folder / MANIFEST_NAME).write_text(json.dumps(backwards, indent=7))
    assert open_bundle(folder).manifest.digest == digest


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "tinier"},
        {"classes": ["red", "green", "blue", "gray"]},
        {"classes": ["green", "red", "blue", "grey"]},
        {"k": 2},
        {"preprocessing": {"fit": "cover"}},
        {"preprocessing": {"margin": 1}},
        {"provenance": {"seed": 1}},
    ],
)
def test_the_digest_changes_with_any_change_of_the_family(folder: Path, changes: dict[str, Any]) -> None:
    digest = open_bundle(folder).manifest.digest
    assert open_bundle(rewritten(folder, **changes)).manifest.digest != digest


def test_a_variant_with_all_stages_keeps_its_digest_and_a_cut_one_says_so(folder: Path) -> None:
    assert b"stages" not in open_bundle(folder).manifest.canonical()
    manifest = open_bundle(with_variant(folder, 1, stages=5)).manifest
    assert [variant.stages for variant in manifest.variants] == [7, 5, 7, 7, 7, 7]
    assert manifest.canonical().count(b"stages") == 1
    assert Manifest.model_validate_json(manifest.canonical()) == manifest


@pytest.mark.parametrize(("provenance", "seed"), [({}, 0), ({"seed": 7}, 7), ({"seed": "seven"}, 0), ({"seed": -1}, 0)])
def test_the_seed_of_the_split_is_that_of_the_provenance_if_it_is_one(
    folder: Path, provenance: dict[str, Any], seed: int
) -> None:
    assert open_bundle(rewritten(folder, provenance=provenance)).manifest.split_seed == seed
