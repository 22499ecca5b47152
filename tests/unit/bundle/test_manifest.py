from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.tiny import CLASSES, RESOLUTIONS, write_bundle
from tests.unit.bundle.helpers import manifest_fields, rewritten, with_variant
from vp_mqtt.bundle.folder import Bundle, builtin_bundles, open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, FamilySpec, Manifest, VariantSpec, paper_weight
from vp_mqtt.errors import UserError

PAPERS_RESOLUTIONS = (96, 128, 160, 192, 224, 256, 320)


def refused(folder: Path | str) -> str:
    """Return the message of the refusal of a bundle: one line."""
    with pytest.raises(UserError) as caught:
        open_bundle(folder)
    message = str(caught.value)
    assert message.splitlines() == [message]
    return message


@pytest.mark.parametrize(
    "changes", [{"temperatures": [0.5] * 5}, {"thresholds": [0.5] * 7}, {"temperatures": [0.0] * 6}, {"kept": 1.5}]
)
def test_a_calibration_that_does_not_fit_the_family_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    fitted = {"temperatures": [0.5] * 6, "thresholds": [0.9] * 6, "kept": 0.95, "pictures": 20}
    assert "calibration" in refused(rewritten(folder, calibration=fitted | changes))


# Weights


@pytest.mark.parametrize(
    ("resolution", "alpha", "largest", "weight"),
    [
        (320, 0.35, 320, 1.0),
        (96, 0.35, 320, 0.3),
        (224, 0.35, 320, 0.7),
        (224, 0.5, 320, 1.0549583),
        (224, 1.0, 224, 3.3444272),
        (160, 0.5, 320, 0.7535416),
    ],
)
def test_the_papers_weight_in_numbers(resolution: int, alpha: float, largest: int, weight: float) -> None:
    assert paper_weight(resolution, alpha, largest) == pytest.approx(weight, abs=1e-6)


def test_the_weights_of_the_papers_family_of_seven() -> None:
    family = FamilySpec(name="paper", variants=tuple(VariantSpec(resolution=r, head=256) for r in PAPERS_RESOLUTIONS))
    assert family.weights() == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0])


def test_votes_of_one_width_have_the_papers_weights_and_those_of_several_equal_ones() -> None:
    narrow = tuple(VariantSpec(resolution=side, head=256) for side in (96, 128, 256))
    assert FamilySpec(name="narrow", variants=narrow).vote_weights() == [96 / 256, 128 / 256, 1.0]
    mixed = (VariantSpec(resolution=96, alpha=1.0, head=1280), *narrow)
    assert FamilySpec(name="mixed", variants=mixed).vote_weights() == [1.0] * 4


def test_the_largest_resolution_counts_wherever_it_stands() -> None:
    variants = (VariantSpec(resolution=200, head=8), VariantSpec(resolution=50, head=8, alpha=0.7))
    assert FamilySpec(name="f", variants=variants).weights() == pytest.approx([1.0, 0.25 * 2**1.15])


# Manifests


def test_a_manifest_survives_the_way_to_disk_and_back(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.classes == CLASSES
    assert [variant.resolution for variant in manifest.variants] == list(RESOLUTIONS)
    assert [variant.weight for variant in manifest.variants] == pytest.approx([r / 56 for r in RESOLUTIONS])
    assert Manifest.model_validate_json(manifest.canonical()) == manifest
    assert manifest.canonical() == (bundle / MANIFEST_NAME).read_bytes()


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "", "n" * 201])
def test_class_names_that_control_a_terminal_or_are_too_long_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match="classes"):
        open_bundle(rewritten(folder, classes=["red", "green", "blue", name]))


def test_class_names_of_all_scripts_survive(folder: Path) -> None:
    names = ["rot", "gr\u00fcn", "\u9752", '"grey"', "\u0646\u06cc\u200c\u0645"]
    manifest = open_bundle(rewritten(folder, classes=names)).manifest
    assert list(manifest.classes) == names
    assert "gr\u00fcn".encode() in manifest.canonical()
    (folder / MANIFEST_NAME).write_bytes(manifest.canonical())
    assert open_bundle(folder).manifest.digest == manifest.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"resolution": 17},
        {"alpha": 0.5},
        {"head": 9},
        {"weight": 0.28571428571428575},
        {"file": "other.onnx"},
        {"sha256": "0" * 64},
        {"params": 13},
    ],
)
def test_the_digest_changes_with_any_change_of_a_variant(folder: Path, changes: dict[str, Any]) -> None:
    digest = open_bundle(folder).manifest.digest
    assert open_bundle(with_variant(folder, 0, **changes)).manifest.digest != digest


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "format: "),
        ({"name": "Tiny"}, "name: "),
        ({"name": "../tiny"}, "name: "),
        ({"classes": ["one"]}, "classes: "),
        ({"classes": ["a", "b", "a"]}, "two classes have the same name"),
        ({"classes": ["a", "", "b"]}, "classes[1]: "),
        ({"classes": ["a", "b"], "k": 3}, "k is 3, but there are only 2 classes"),
        ({"k": 0}, "k: "),
        ({"variants": []}, "variants: "),
        ({"preprocessing": {"fit": "squeeze"}}, "preprocessing.fit: "),
        ({"preprocessing": {"margin": -1}}, "preprocessing.margin: "),
        ({"preprocessing": {"zoom": 0.9}}, "preprocessing.zoom: "),
        ({"preprocessing": {"zoom": 1.3}}, "preprocessing.zoom: "),
        ({"preprocessing": {"zoom": 1.1, "margin": 8}}, "there is a margin and a zoom: name one of them"),
        ({"surprise": 1}, "surprise: "),
        ({"two\nlines": 1}, "lines: "),
    ],
)
def test_a_manifest_that_is_not_valid_is_refused_in_one_line(
    folder: Path, changes: dict[str, Any], reason: str
) -> None:
    message = refused(rewritten(folder, **changes))
    assert message.startswith(f"{folder / MANIFEST_NAME}: ")
    assert reason in message


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"resolution": 15}, "resolution"),
        ({"resolution": 1025}, "resolution"),
        ({"weight": 0}, "weight"),
        ({"weight": -1}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"weight": float("inf")}, "weight"),
        ({"sha256": "abc"}, "sha256"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"params": 0}, "params"),
        ({"file": ""}, "file"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_variant_that_is_not_valid_is_named_with_its_place(folder: Path, changes: dict[str, Any], field: str) -> None:
    assert f"variants[2].{field}: " in refused(with_variant(folder, 2, **changes))


@pytest.mark.parametrize(
    "file",
    [
        "../secret.onnx",
        "..",
        ".",
        "/etc/passwd",
        "sub/model.onnx",
        "..\\secret.onnx",
        "C:\\model.onnx",
        ".hidden",
        "a\x00b",
        "a\n",
        "~root",
    ],
)
def test_a_model_file_beyond_the_bundles_folder_is_refused(folder: Path, file: str) -> None:
    assert "variants[0].file: " in refused(with_variant(folder, 0, file=file))


def test_variants_that_are_not_listed_by_index_are_refused(folder: Path) -> None:
    variants = manifest_fields(folder)["variants"]
    for wrong in (variants[::-1], variants[1:], variants[:1] * 2):
        assert "listed by index" in refused(rewritten(folder, variants=wrong))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused_in_one_line(folder: Path, data: bytes) -> None:
    (folder / MANIFEST_NAME).write_bytes(data)
    assert refused(folder).startswith(f"{folder / MANIFEST_NAME}: ")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_manifest_is_valid_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.exists():
        write_bundle(folder)
        (folder / MANIFEST_NAME).rename(folder / "good")
    good = (folder / "good").read_bytes()
    start = data.draw(st.integers(0, len(good)))
    damaged = good[:start] + data.draw(st.binary(max_size=3)) + good[start + data.draw(st.integers(0, 3)) :]
    (folder / MANIFEST_NAME).write_bytes(damaged)
    try:
        manifest = open_bundle(folder).manifest
    except UserError:
        return
    assert Manifest.model_validate_json(manifest.canonical()).digest == manifest.digest


def test_a_manifest_cannot_be_changed_behind_its_digests_back(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    with pytest.raises(ValidationError):
        manifest.k = 1


# Bundles


def test_a_bundle_gives_its_models(bundle: Path) -> None:
    opened = open_bundle(str(bundle))
    for index in range(len(RESOLUTIONS)):
        assert opened.variant(index).index == index
        assert opened.model_bytes(index) == (bundle / f"variant-{index}.onnx").read_bytes()


@pytest.mark.parametrize("index", [-1, 6, 1000])
def test_a_variant_that_the_bundle_has_not_is_a_user_error(bundle: Path, index: int) -> None:
    for look_up in (open_bundle(bundle).variant, open_bundle(bundle).model_bytes):
        with pytest.raises(UserError) as caught:
            look_up(index)
        assert str(caught.value) == f"variant {index}: the bundle 'tiny' has variants 0 to 5"


def test_a_model_file_that_was_tampered_with_is_refused(folder: Path) -> None:
    opened = open_bundle(folder)
    path = folder / "variant-3.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        opened.model_bytes(3)
    assert str(caught.value) == f"{path}: its SHA-256 is not the manifest's; export or copy the bundle again"
    assert opened.model_bytes(2)


def test_a_model_file_that_is_missing_is_reported_with_what_to_do(folder: Path) -> None:
    opened = open_bundle(folder)
    (folder / "variant-3.onnx").unlink()
    with pytest.raises(UserError, match=r"variant-3\.onnx: No such file or directory; the bundle is incomplete"):
        opened.model_bytes(3)
    (folder / "variant-3.onnx").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        opened.model_bytes(3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-such-family", "No such file or directory"),
        ("/nowhere", "No such file or directory"),
        ("", "No such file or directory"),
        ("..", "No such file or directory"),
        ("x" * 5000, "File name too long"),
        ("a\x00b", "embedded null byte"),
    ],
)
def test_a_bundle_that_is_not_there_is_a_user_error_that_names_the_built_in_ones(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    message = refused(name)
    assert message.startswith(f"no bundle at '{name}' (")
    assert message.endswith(f": {reason}); built in: {', '.join(builtin_bundles())}")
    monkeypatch.setattr("vp_mqtt.bundle.folder._BUILT_IN", tmp_path)
    assert refused(name).endswith(f": {reason}); built in: none")


def test_a_vote_holds_at_most_half_of_the_classes(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.largest_k == 2
    for k in (1, 2):
        manifest.check_k(k, "--k")
    with pytest.raises(UserError) as caught:
        manifest.check_k(3, "--k")
    assert str(caught.value) == (
        "--k 3: a vote holds at most half of the classes; the bundle 'tiny' has 4, so write 2 or less"
    )


def test_a_built_in_bundle_is_opened_by_its_name(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vp_mqtt.bundle.folder._BUILT_IN", tmp_path)
    assert builtin_bundles() == []
    shutil.copytree(bundle, tmp_path / "one")
    shutil.copytree(bundle, tmp_path / "two")
    (tmp_path / "not-a-bundle").mkdir()
    assert builtin_bundles() == ["one", "two"]
    assert open_bundle("two") == Bundle(tmp_path / "two", open_bundle(bundle).manifest)


def test_a_built_in_bundle_wins_over_a_folder_of_the_same_name(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vp_mqtt.bundle.folder._BUILT_IN", tmp_path / "box")
    shutil.copytree(bundle, tmp_path / "box" / "tiny")
    rewritten(shutil.copytree(bundle, tmp_path / "tiny"), k=1)
    monkeypatch.chdir(tmp_path)
    assert open_bundle("tiny").manifest.k == 3
    assert open_bundle(os.path.join(".", "tiny")).manifest.k == 1  # noqa: PTH118 (a Path would drop the dot)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        # Equal weights: 1.0 at 128 pixels computes more than 0.35 at 256, and this more than 1.0 at 112.
        ("caltech101", [(1,), (1, 5), (0, 1, 5), (0, 1, 4, 5)]),
        ("fashion-mnist", [(5,), (4, 5), (3, 4, 5), (2, 3, 4, 5)]),
        # The same: 1.0 at 128 pixels computes more than 1.0 at 96, and these more than 0.35 at 192 and at 160.
        ("cifar10", [(1,), (0, 1), (0, 1, 3), (0, 1, 2, 3)]),
    ],
)
def test_the_variants_for_few_boards_have_the_largest_weights(name: str, chosen: list[tuple[int, ...]]) -> None:
    manifest = open_bundle(name).manifest
    assert [manifest.strongest(count) for count in range(1, 5)] == chosen
    assert manifest.strongest(9) == tuple(range(len(manifest.variants)))


def test_a_zoom_changes_the_digest_and_none_leaves_that_of_bundles_from_before() -> None:
    manifest = open_bundle("cifar10").manifest
    plain, zoomed = (
        manifest.model_copy(update={"preprocessing": manifest.preprocessing.model_copy(update={"zoom": zoom})})
        for zoom in (1.0, 1.1)
    )
    assert b"zoom" not in plain.canonical()
    assert json.loads(zoomed.canonical())["preprocessing"]["zoom"] == 1.1
    assert plain.digest != zoomed.digest
    assert Manifest.model_validate_json(zoomed.canonical()) == zoomed


def test_of_equal_weights_a_variant_without_the_last_stages_computes_less() -> None:
    whole = open_bundle("caltech101").manifest
    entries = [one.model_copy(update={"stages": 4}) if one.index == 1 else one for one in whole.variants]
    cut = whole.model_copy(update={"variants": tuple(entries)})
    assert (whole.ranked(), cut.ranked()) == ((1, 5, 0, 4, 3, 2), (5, 0, 4, 3, 1, 2))
