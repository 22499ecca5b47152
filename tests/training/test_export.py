"""From a checkpoint to a bundle: exact, halved, quantised, fitted, and evaluated as on a board."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.support.training_data import write_class_folders
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import Preprocessing, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import Picture, prepare
from vp_mqtt.nodes.frame_encoder import FrameEncoder
from vp_mqtt.training.calibrate import calibrate_bundle
from vp_mqtt.training.checkpoint import Checkpoint
from vp_mqtt.training.datasets import load
from vp_mqtt.training.evaluation.evaluate import default_encoder, evaluate_bundle
from vp_mqtt.training.export import export_bundle
from vp_mqtt.training.familiarity import has_familiarity
from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm
from vp_mqtt.training.onnx_export import largest_difference, to_onnx
from vp_mqtt.training.onnx_weights import constants
from vp_mqtt.training.quantize import quantize


def random_network() -> VariantNetwork:
    torch.manual_seed(3)
    network = VariantNetwork(VariantSpec(resolution=40, head=32), 10)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean = torch.rand_like(module.weight) - 0.5
    return network.eval()


def test_folding_batch_norm_changes_nothing() -> None:
    network = random_network()
    folded = fold_batch_norm(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    picture = torch.rand(2, 3, 40, 40) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(folded(picture), network(picture), rtol=1e-3, atol=1e-3)


def test_exported_models_give_what_torch_gives() -> None:
    network = random_network()
    exact, halved = to_onnx(network, 40, "float32"), to_onnx(network, 40, "float16")
    assert largest_difference(network, exact, 40) < 1e-4
    assert largest_difference(network, halved, 40) < 1e-2
    assert len(halved) < 0.6 * len(exact)


def test_a_bundle_is_exported_whole_and_judged(trained: Path, tmp_path: Path) -> None:
    exported = export_bundle(Checkpoint.load(trained / "run"), tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.manifest == exported.manifest
    assert exported.total_bytes == sum(path.stat().st_size for path in (tmp_path / "bundle").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    dataset = load("fashion-mnist", trained / "data")
    result = evaluate_bundle(bundle, dataset.test)
    assert result.images == 40
    assert result.accuracy.fused > 0.25  # at random: 0.1, give or take 0.05
    assert set(result.by_alive) == {1, 2}
    assert result.by_alive[2].mean == result.accuracy.fused
    assert result.by_alive[1].mean == pytest.approx(np.mean(result.accuracy.variants), abs=1e-4)
    # A bundle is replaced by its successor, but nothing else is.
    assert export_bundle(Checkpoint.load(trained / "run"), tmp_path / "bundle", name="next").manifest.name == "next"
    with pytest.raises(UserError, match="something other than a bundle"):
        export_bundle(Checkpoint.load(trained / "run"), trained)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_int8_and_fitted_bundles_are_judged_on_the_validation_part(trained: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(trained / "run")
    with pytest.raises(UserError, match="name them with --data"):
        export_bundle(checkpoint, tmp_path / "bundle", weights="int8")
    dataset = load("fashion-mnist", trained / "data")
    exported = export_bundle(checkpoint, tmp_path / "bundle", weights="int8", fit=True, dataset=dataset)
    stored = exported.manifest.provenance["weights"]
    assert exported.note is not None
    assert (stored == "float32") == ("float32 is kept" in exported.note)
    weights = [variant.weight for variant in exported.manifest.variants]
    assert sum(weights) == pytest.approx(sum(checkpoint.origin.family.weights()), abs=1e-3)
    assert len(str(exported.manifest.provenance["temperatures"]).split()) == 2
    bundle = open_bundle(str(tmp_path / "bundle"))
    assert bundle.manifest == exported.manifest
    encoder = FrameEncoder(size=None, quality=90, passes_through=True)
    of_the_bundle = evaluate_bundle(bundle, dataset.validation, encoder=encoder).fused
    assert exported.manifest.provenance["validation_accuracy"] == pytest.approx(of_the_bundle, abs=1e-4)
    assert evaluate_bundle(open_bundle(str(tmp_path / "bundle")), dataset.test).fused > 0.25
    others = dataclasses.replace(dataset, classes=("a", "b"))
    with pytest.raises(UserError, match="not those of the training"):
        export_bundle(checkpoint, tmp_path / "bundle", fit=True, dataset=others)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_int8_models_are_calibrated_on_what_boards_will_see(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zooms: list[float] = []

    def spy(picture: Picture, side: int, preprocessing: Preprocessing) -> np.ndarray:
        zooms.append(preprocessing.zoom)
        return prepare(picture, side, preprocessing)

    monkeypatch.setattr("vp_mqtt.training.export.choose_zoom", lambda *_: 1.2)
    monkeypatch.setattr("vp_mqtt.training.export.prepare", spy)
    dataset = load("fashion-mnist", trained / "data")
    exported = export_bundle(Checkpoint.load(trained / "run"), tmp_path / "bundle", weights="int8", dataset=dataset)
    assert exported.manifest.preprocessing.zoom == 1.2
    assert set(zooms) == {1.2}


def test_a_bundle_records_the_seed_of_the_split_not_that_of_the_training(trained: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(trained / "run")
    recipe = checkpoint.origin.recipe
    assert export_bundle(checkpoint, tmp_path / "same").manifest.provenance["seed"] == recipe.seed
    origin = checkpoint.origin.model_copy(update={"split_seed": recipe.seed + 1})
    exported = export_bundle(dataclasses.replace(checkpoint, origin=origin), tmp_path / "other")
    assert exported.manifest.provenance["seed"] == recipe.seed + 1


def test_a_bundle_is_calibrated_by_its_pictures_on_export_or_later(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint.load(trained / "run")
    dataset = load("fashion-mnist", trained / "data")
    plain = export_bundle(checkpoint, tmp_path / "plain")
    assert plain.manifest.calibration is None
    exported = export_bundle(checkpoint, tmp_path / "calibrated", dataset=dataset).manifest
    assert exported.calibration is not None
    assert exported.calibration.pictures == len(dataset.validation)
    assert exported.provenance["picture_side"] == 28
    assert all(has_familiarity(open_bundle(tmp_path / "calibrated").model_bytes(index)) for index in (0, 1))
    later = calibrate_bundle(open_bundle(tmp_path / "plain"), dataset, tmp_path / "later")
    assert later == open_bundle(tmp_path / "later").manifest
    assert later == exported
    # Familiarity is fitted anew, not built on top of itself.
    assert calibrate_bundle(open_bundle(tmp_path / "later"), dataset, tmp_path / "again") == later
    zoomed = export_bundle(checkpoint, tmp_path / "zoomed", zoom=1.2, dataset=dataset).manifest
    assert zoomed.preprocessing.zoom == 1.2
    assert calibrate_bundle(open_bundle(tmp_path / "plain"), dataset, tmp_path / "zoomed-later", 1.2) == zoomed
    assert calibrate_bundle(open_bundle(tmp_path / "zoomed"), dataset, tmp_path / "chosen") == exported
    with pytest.raises(UserError, match="it exists already"):
        calibrate_bundle(open_bundle(tmp_path / "plain"), dataset, tmp_path / "later")
    others = dataclasses.replace(dataset, classes=("a", "b"))
    with pytest.raises(UserError, match="other classes than the bundle"):
        calibrate_bundle(open_bundle(tmp_path / "plain"), others, tmp_path / "new")
    monkeypatch.setattr("vp_mqtt.training.calibrate.calibrate", lambda *_: pytest.fail("it has begun"))
    with pytest.raises(UserError, match=r"--out .*plain/manifest\.json"):
        calibrate_bundle(open_bundle(tmp_path / "plain"), dataset, tmp_path / "plain" / "manifest.json" / "new", 1)


def test_int8_models_are_small_and_nearly_right() -> None:
    network = random_network()
    exact = to_onnx(network, 40, "float32")
    rng = np.random.default_rng(0)
    small = quantize(exact, (rng.uniform(-1, 1, (1, 3, 40, 40)).astype(np.float32) for _ in range(16)))
    assert len(small) < 0.5 * len(exact)
    assert largest_difference(network, small, 40) < 0.1


def test_weights_stored_in_int8_are_off_by_half_a_step_at_most_and_computed_with_in_float32() -> None:
    network = random_network()
    whole, small = to_onnx(network, 40, "float32"), to_onnx(network, 40, "int8-stored")
    assert len(small) < 0.4 * len(whole)
    assert largest_difference(network, small, 40) < 0.02
    exact, stored = (constants(onnx.load_model_from_string(model).graph) for model in (whole, small))
    rounded = [name.removesuffix(".int8") for name in stored if name.endswith(".int8")]
    assert "network.features.17.conv.2.weight" in rounded
    assert not any("classifier" in name for name in rounded)
    for name in rounded:
        step = np.abs(exact[name]).max(axis=(1, 2, 3), keepdims=True) / 127
        assert (np.abs(stored[name] - exact[name]) <= 0.51 * step).all()


def test_an_export_with_weights_in_int8_says_what_it_costs(trained: Path, tmp_path: Path) -> None:
    checkpoint, dataset = Checkpoint.load(trained / "run"), load("fashion-mnist", trained / "data")
    with pytest.raises(UserError, match="name them with --data"):
        export_bundle(checkpoint, tmp_path / "bundle", weights="int8-stored")
    exported = export_bundle(checkpoint, tmp_path / "bundle", weights="int8-stored", dataset=dataset)
    assert exported.note is not None
    assert exported.note.startswith("int8-stored: validation accuracy ")
    stored = exported.manifest.provenance["weights"]
    assert (stored == "float32") == ("float32 is kept" in exported.note)
    bundle = open_bundle(tmp_path / "bundle")
    of_the_bundle = evaluate_bundle(bundle, dataset.validation, encoder=default_encoder()).fused
    assert exported.manifest.provenance["validation_accuracy"] == pytest.approx(of_the_bundle, abs=1e-4)


def test_eval_prints_json_and_refuses_other_classes(trained: Path, tmp_path: Path) -> None:
    export_bundle(Checkpoint.load(trained / "run"), tmp_path / "bundle")
    command = [sys.executable, "-m", "vp_mqtt", "eval", str(tmp_path / "bundle")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    arguments = ["fashion-mnist", "--root", str(trained / "data"), "--json", "--jpeg", "90"]
    printed = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=True)
    result = json.loads(printed.stdout)
    assert result["images"] == 40
    assert len(result["accuracy"]["variants"]) == 2
    assert set(result["accuracy"]["by_alive"]) == {"1", "2"}
    folders = write_class_folders(tmp_path / "folders")
    refused = subprocess.run([*command, str(folders)], env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "which the bundle does not know" in refused.stderr
