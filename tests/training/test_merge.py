"""Variants of several bundles become one bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import error_line, run_vp
from tests.support.tiny import RESOLUTIONS
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME, Manifest
from vp_mqtt.errors import UserError
from vp_mqtt.training.checkpoint import Checkpoint
from vp_mqtt.training.datasets import load
from vp_mqtt.training.evaluation.evaluate import predict
from vp_mqtt.training.export import export_bundle
from vp_mqtt.training.merge import merge, parse_part
from vp_mqtt.training.presets import choose_variants, load_family


def other(bundle: Path, folder: Path, **changes: Any) -> Path:
    """Write a copy of the bundle with another manifest."""
    folder.mkdir()
    for file in bundle.glob("*.onnx"):
        (folder / file.name).write_bytes(file.read_bytes())
    fields = json.loads((bundle / MANIFEST_NAME).read_bytes()) | changes
    (folder / MANIFEST_NAME).write_bytes(Manifest.model_validate(fields).canonical())
    return folder


def wide(bundle: Path, folder: Path) -> Path:
    variants = json.loads((bundle / MANIFEST_NAME).read_bytes())["variants"]
    return other(bundle, folder, name="wide", variants=[variant | {"alpha": 1.0} for variant in variants])


def test_variants_are_renumbered_in_the_order_given_and_keep_their_models(bundle: Path, tmp_path: Path) -> None:
    second = wide(bundle, tmp_path / "second")
    merged = merge([parse_part(f"{second}:5,0"), parse_part(f"{bundle}:3,4")], tmp_path / "merged")
    opened = open_bundle(tmp_path / "merged")
    assert opened.manifest == merged
    assert [(variant.index, variant.alpha) for variant in merged.variants] == [(0, 1), (1, 1), (2, 0.35), (3, 0.35)]
    assert [variant.resolution for variant in merged.variants] == [RESOLUTIONS[index] for index in (5, 0, 3, 4)]
    assert opened.model_bytes(1) == (bundle / "variant-0.onnx").read_bytes()
    assert merged.name == "wide"
    assert merged.provenance["merged"] == (
        f"wide ({open_bundle(second).manifest.short_digest.hex()}) 5,0; "
        f"tiny ({open_bundle(bundle).manifest.short_digest.hex()}) 3,4"
    )


def test_votes_weigh_the_same_if_widths_differ_and_the_papers_weights_if_not(bundle: Path, tmp_path: Path) -> None:
    several = merge([parse_part(str(wide(bundle, tmp_path / "wide"))), parse_part(str(bundle))], tmp_path / "a")
    assert {variant.weight for variant in several.variants} == {1.0}
    assert len(several.variants) == 2 * len(RESOLUTIONS)
    again = other(bundle, tmp_path / "again", name="again")
    one = merge([parse_part(f"{bundle}:0"), parse_part(f"{again}:3")], tmp_path / "b")
    assert [variant.weight for variant in one.variants] == pytest.approx([RESOLUTIONS[0] / RESOLUTIONS[3], 1.0])


def test_some_variants_of_one_bundle_keep_their_weights_but_no_calibration(bundle: Path, tmp_path: Path) -> None:
    fitted = {"temperatures": [0.5] * 6, "thresholds": [0.9] * 6, "kept": 0.95, "pictures": 20}
    provenance = {"dataset": "d", "validation_accuracy": 0.9}
    calibrated = other(bundle, tmp_path / "calibrated", calibration=fitted, provenance=provenance)
    merged = merge([parse_part(f"{calibrated}:1,2")], tmp_path / "merged", name="fewer")
    assert [variant.weight for variant in merged.variants] == pytest.approx([RESOLUTIONS[1] / 56, RESOLUTIONS[2] / 56])
    assert merged.calibration is None
    assert merged.name == "fewer"
    assert merged.provenance["dataset"] == "d"
    assert "validation_accuracy" not in merged.provenance


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["red", "green", "blue", "pink"]}, "only the first knows the class 'grey'"),
        ({"classes": ["red", "green", "blue", "grey", "pink"]}, "only the second knows the class 'pink'"),
        ({"classes": ["green", "red", "blue", "grey"]}, "the same classes in another order"),
        ({"provenance": {"seed": 1}}, "trained with the seeds 0 and 1"),
        ({"preprocessing": {"fit": "cover"}}, "they crop pictures in different ways"),
        ({"preprocessing": {"version": 2}}, "versions 1 and 2: choose one for both with --preprocessing"),
    ],
)
def test_bundles_that_do_not_fit_together_are_refused(
    bundle: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    parts = [parse_part(str(bundle)), parse_part(str(other(bundle, tmp_path / "other", **changes)))]
    with pytest.raises(UserError, match=message):
        merge(parts, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_bundle_of_other_classes_is_not_replaced_but_one_of_the_same_is(bundle: Path, tmp_path: Path) -> None:
    others = other(bundle, tmp_path / "others", name="others", classes=["cup", "plate", "fork", "spoon"])
    before = open_bundle(others).manifest
    with pytest.raises(UserError, match="there is a bundle of other classes, 'others'; name another folder"):
        merge([parse_part(str(bundle))], others)
    assert open_bundle(others).manifest == before
    same = other(bundle, tmp_path / "same", name="same")
    (same / "notes.txt").touch()
    with pytest.raises(UserError, match=r"there is more than a bundle: notes\.txt; name another folder"):
        merge([parse_part(f"{bundle}:1")], same)
    (same / "notes.txt").unlink()
    merged = merge([parse_part(f"{bundle}:1")], same)
    assert open_bundle(same).manifest == merged


def test_one_variant_is_called_one_variant(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    code, printed, _ = run_vp("merge", f"{bundle}:0", "--out", str(out))
    assert (code, printed.partition(",")[0]) == (0, f"{out}: 1 variant")


def test_a_bundle_is_not_written_below_a_file(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=rf"^--out {file}/sub: {file} is a file; name a folder$"):
        merge([parse_part(str(bundle))], file / "sub")


def test_of_parts_with_different_zooms_the_merged_bundle_has_the_median(bundle: Path, tmp_path: Path) -> None:
    parts = [
        parse_part(str(other(bundle, tmp_path / f"{zoom}", name=f"x{zoom * 100:.0f}", preprocessing={"zoom": zoom})))
        for zoom in (1.2, 1.0, 1.15)
    ]
    assert merge(parts, tmp_path / "merged").preprocessing.zoom == 1.15


def test_a_version_of_the_preprocessing_can_be_chosen_for_all(bundle: Path, tmp_path: Path) -> None:
    newer = other(bundle, tmp_path / "newer", preprocessing={"version": 2})
    for version in (1, 2):
        merged = merge([parse_part(str(bundle)), parse_part(str(newer))], tmp_path / "out", preprocessing=version)
        assert merged.preprocessing.version == version


def test_what_is_named_wrongly_is_refused(bundle: Path, tmp_path: Path) -> None:
    wrong = f"{bundle}:6"
    for text, message in (
        (wrong, f"^{wrong}: variant 6: .* has variants 0 to 5"),
        (f"{bundle}:1,1", "twice"),
        ("none:1", "no bundle"),
    ):
        with pytest.raises(UserError, match=message):
            parse_part(text)
    with_colon = other(bundle, tmp_path / "a:1")
    assert parse_part(str(with_colon)).variants == (0, 1, 2, 3, 4, 5)
    with pytest.raises(UserError, match=rf"^variant 1 of {bundle}: named twice, it would have two votes"):
        merge([parse_part(f"{bundle}:1"), parse_part(str(bundle))], tmp_path / "merged")
    copy = other(bundle, tmp_path / "copy")
    with pytest.raises(UserError, match=rf"^variant 2 of {bundle} and {copy}, which are the same bundle: named twice"):
        merge([parse_part(f"{bundle}:1,2"), parse_part(f"{copy}:2")], tmp_path / "merged")
    with pytest.raises(UserError, match="at most 64"):
        merge([parse_part(str(bundle))] * 11, tmp_path / "merged")


def test_members_of_a_family_can_be_trained_alone() -> None:
    family = load_family("mixed")
    assert choose_variants(family, "2,0").variants == (family.variants[0], family.variants[2])
    for wrong in ("6", "-1", "", "one"):
        with pytest.raises(UserError, match="'mixed' has variants 0 to 5"):
            choose_variants(family, wrong)
    assert "--family" in error_line(run_vp("train", "fashion-mnist", "--only", "0", "--out", "x"))


def test_bundles_of_trainings_are_merged_and_calibrated_by_command(trained: Path, tmp_path: Path) -> None:
    export_bundle(Checkpoint.load(trained / "run"), tmp_path / "one")
    pictures = load("fashion-mnist", trained / "data").validation
    code, out, _ = run_vp("merge", f"{tmp_path / 'one'}:1", f"{tmp_path / 'one'}:0", "--out", str(tmp_path / "merged"))
    assert code == 0
    assert out.endswith(f"not calibrated yet: vp calibrate {tmp_path / 'merged'} fashion-mnist --out FOLDER\n")
    parts, whole = (predict(open_bundle(tmp_path / name), pictures) for name in ("one", "merged"))
    assert (whole == parts[[1, 0]]).all()
    root, calibrated = str(trained / "data"), str(tmp_path / "calibrated")
    code, out, _ = run_vp("calibrate", str(tmp_path / "merged"), "fashion-mnist", "--root", root, "--out", calibrated)
    assert code == 0
    fitted = open_bundle(calibrated).manifest.calibration
    assert fitted is not None
    assert len(fitted.temperatures) == 2
    assert error_line(run_vp("merge", "caltech101", "cifar10", "--out", str(tmp_path / "new"))) == (
        "caltech101 and cifar10 cannot be merged: only the first knows the class 'Faces'"
    )
