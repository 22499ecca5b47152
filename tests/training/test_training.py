from __future__ import annotations

import copy
import csv
import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.support.training_data import FAMILY, write_class_folders, write_fashion_mnist
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import Preprocessing, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import prepare, resize_square
from vp_mqtt.training.augment import ViewRecipe, draw_views
from vp_mqtt.training.builder import build_trainer
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint, Origin
from vp_mqtt.training.datasets import load
from vp_mqtt.training.device_inputs import to_input
from vp_mqtt.training.evaluation.evaluate import evaluate_bundle
from vp_mqtt.training.export import export_bundle
from vp_mqtt.training.history import CURVES_NAME, HISTORY_NAME
from vp_mqtt.training.networks import VariantNetwork, fold_batch_norm
from vp_mqtt.training.onnx_export import largest_difference, to_onnx
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.quantize import quantize
from vp_mqtt.training.recipe import Recipe, read_recipe
from vp_mqtt.training.trainer import Trainer

EPOCHS = 8
RECIPE = {"epochs": EPOCHS, "batch": 40, "frozen_steps": 2, "average": 0.9, "learning_rate": 6e-3, "mixup": 0}


def training(folder: Path, out: Path, **recipe: float) -> Trainer:
    family = folder / "family.toml"
    family.write_text(FAMILY, encoding="utf-8")
    dataset = load("fashion-mnist", write_fashion_mnist(folder / "data", train=480))
    origin = Origin(
        family=load_family(str(family)),
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=Recipe.model_validate({**RECIPE, **recipe}),
    )
    return build_trainer(origin, dataset, out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    training(folder, folder / "run").run()
    return folder


def test_training_learns_and_writes_what_it_did(trained: Path) -> None:
    with (trained / "run" / HISTORY_NAME).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == EPOCHS
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])
    curves = cv2.imread(str(trained / "run" / CURVES_NAME))
    assert curves is not None
    assert curves.std() > 1
    checkpoint = Checkpoint.load(trained / "run")
    assert checkpoint.epoch == EPOCHS
    assert checkpoint.origin.dataset == "fashion-mnist"


def test_frozen_blocks_never_learn_and_the_others_do(tmp_path: Path) -> None:
    before = training(tmp_path, tmp_path / "run").checkpoint()
    start = [{name: tensor.clone() for name, tensor in state.items()} for state in before.networks]
    after = training(tmp_path, tmp_path / "run", epochs=1, frozen_blocks=5).run()
    for old, new in zip(start, after.networks, strict=True):
        for name, tensor in new.items():
            block = int(name.split(".")[1]) if name.startswith("features.") else None
            if block is not None and block < 5:
                torch.testing.assert_close(tensor, old[name], rtol=0, atol=0)
            elif name.endswith("weight"):
                assert not torch.equal(tensor, old[name]), name


def test_frozen_blocks_give_what_they_would_unfolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    for folds in (True, False):
        if not folds:
            monkeypatch.setattr("vp_mqtt.training.engine.fold_batch_norm", lambda blocks: copy.deepcopy(blocks).eval())
        run = training(tmp_path, tmp_path / str(folds), epochs=1, frozen_blocks=5)
        torch.manual_seed(3)
        for module in (module for network in run._learner._variants for module in network.modules()):
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                module.running_mean = torch.rand_like(module.weight) - 0.5
        losses.append(recorded(run))
        names = run.checkpoint().networks[0].keys()
        assert run.run().networks[0].keys() == names
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-4)


def recorded(run: Trainer) -> list[float]:
    """Return a list that every step's loss is added to."""
    losses: list[float] = []
    original = run._learner.learn

    def learn(views: Sequence[torch.Tensor], labels: torch.Tensor, **place: int) -> torch.Tensor:
        loss = original(views, labels, **place)
        losses.append(float(loss))
        return loss

    run._learner.learn = learn  # type: ignore[method-assign]
    return losses


def test_a_training_resumed_is_the_training_continued(tmp_path: Path) -> None:
    whole = training(tmp_path, tmp_path / "whole", epochs=4)
    losses = recorded(whole)
    original = whole._train_epoch

    def kept_aside(drawn: Iterable[tuple[list[torch.Tensor], torch.Tensor]]) -> float:
        if whole._epoch == 2:
            shutil.copytree(tmp_path / "whole", tmp_path / "aside")
        return original(drawn)

    whole._train_epoch = kept_aside  # type: ignore[method-assign]
    finished = whole.run()
    second = training(tmp_path, tmp_path / "aside", epochs=4)
    continued = recorded(second)
    second.resume()
    assert second._epoch == 2
    resumed = second.run()
    assert len(resumed.history) == 4
    assert resumed.history[:2] == finished.history[:2]
    assert len(continued) == len(losses) // 2
    # Sums in another order differ in their last digit, which some steps later is no longer the last.
    assert continued[:3] == pytest.approx(losses[len(losses) // 2 :][:3], rel=1e-3)
    assert resumed.schedule == finished.schedule


def test_a_checkpoint_of_version_0_1_is_resumed(tmp_path: Path) -> None:
    before = training(tmp_path, tmp_path / "run", epochs=2).checkpoint()
    content: dict[str, Any] = {
        "origin": before.origin.model_dump_json(),
        "epoch": 1,
        "networks": before.networks,
        "averages": before.averages,
        "optimizer": before.optimizer,
        "schedule": before.schedule | {"last_epoch": 11, "_step_count": 12},
        "history": [{"epoch": 1.0, "loss": 2.0, "fused": 0.1, "variant 0": 0.1, "variant 1": 0.1, "seconds": 1.0}],
    }
    (tmp_path / "run").mkdir()
    torch.save(content, tmp_path / "run" / "checkpoint.pt")
    resumed = training(tmp_path, tmp_path / "run", epochs=2)
    resumed.resume()
    after = resumed.run()
    assert after.history[0] == content["history"][0]
    assert (len(after.history), after.epoch, after.schedule["last_epoch"]) == (2, 2, 22)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True).keys() == content.keys()


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "family.toml").write_text(FAMILY, encoding="utf-8")
    data = write_fashion_mnist(tmp_path / "data")
    command = [sys.executable, "-m", "vp_mqtt", "train", "fashion-mnist", "--root", str(data), "--batch", "40"]
    command += ["--family", str(tmp_path / "family.toml"), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([*command, "--epochs", "500"], env=environment, stderr=subprocess.DEVNULL)
    history = tmp_path / "run" / HISTORY_NAME
    until = time.monotonic() + 60
    while not history.exists() or len(history.read_text(encoding="utf-8").splitlines()) < 3:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    saved = Checkpoint.load(tmp_path / "run")
    assert saved.epoch >= 2
    again = subprocess.run([*command, "--epochs", "500"], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    other = subprocess.run(
        [*command, "--epochs", "3", "--resume"], env=environment, capture_output=True, text=True, check=False
    )
    assert other.returncode == 2
    assert "another recipe" in other.stderr
    process = subprocess.Popen([*command, "--epochs", "500", "--resume"], env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while Checkpoint.load(tmp_path / "run").epoch <= saved.epoch:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()


def test_saving_on_a_full_disk_keeps_what_was_saved(trained: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(trained / "run")
    checkpoint.save(tmp_path)
    checkpoint.epoch = 99
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(UserError, match="previous checkpoint is kept"):
            checkpoint.save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_NAME]
    assert Checkpoint.load(tmp_path).epoch == EPOCHS


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04."])
def test_something_else_is_not_taken_for_a_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(UserError, match="not a checkpoint"):
        Checkpoint.load(tmp_path)


def test_training_and_device_see_the_same_pixels() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((28, 28), (300, 200), (64, 64)):
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for resolution in (40, 64):
            device = prepare(picture, resolution, Preprocessing())
            training_input = to_input(torch.from_numpy(resize_square(picture, resolution)[np.newaxis])).numpy()
            np.testing.assert_allclose(device, training_input, atol=1e-6)


def test_views_without_augmentation_are_the_device_s_picture() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
    plain = ViewRecipe(flip=0, rotation=0, zoom=0, margin=0, jpeg=0, erase=0)
    # The margin is at least one pixel: undo it by looking at what the crop was taken from.
    (view,) = draw_views(picture, [40], plain, rng)
    larger = resize_square(picture, 41).astype(int)
    corners = [larger[y : y + 40, x : x + 40] for y in (0, 1) for x in (0, 1)]
    lowest, highest = np.min(corners, axis=0), np.max(corners, axis=0)
    assert ((view >= lowest - 1) & (view <= highest + 1)).all()


def test_views_differ_between_variants_and_are_seeded() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    first = draw_views(picture, [40, 40, 64], ViewRecipe(), np.random.default_rng(5))
    again = draw_views(picture, [40, 40, 64], ViewRecipe(), np.random.default_rng(5))
    assert [view.shape for view in first] == [(40, 40, 3), (40, 40, 3), (64, 64, 3)]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] != first[1]).any()


def test_a_shared_view_is_one_of_all_resolutions() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    picture = np.asarray(cv2.GaussianBlur(noise, (0, 0), 6), dtype=np.uint8)
    recipe = ViewRecipe(shared=True, area=0.5, colour=0.3, rotation=20, erase=1)
    for seed in range(20):
        one, same, larger = draw_views(picture, [64, 64, 128], recipe, np.random.default_rng(seed))
        np.testing.assert_array_equal(one, same)
        difference = resize_square(larger, 64).astype(int) - one
        # Not at the edges of an erased rectangle, which pixels round.
        assert np.quantile(np.abs(difference), 0.9) <= 6, seed
    others = draw_views(picture, [64], recipe, np.random.default_rng(20))
    assert (others[0] != one).any()


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
    assert result.accuracy.fused > 0.25  # by chance: 0.1, give or take 0.05
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
    of_the_bundle = evaluate_bundle(bundle, dataset.validation).fused
    assert exported.manifest.provenance["validation_accuracy"] == pytest.approx(of_the_bundle, abs=1e-4)
    assert evaluate_bundle(open_bundle(str(tmp_path / "bundle")), dataset.test).fused > 0.25
    others = dataclasses.replace(dataset, classes=("a", "b"))
    with pytest.raises(UserError, match="not those of the training"):
        export_bundle(checkpoint, tmp_path / "bundle", fit=True, dataset=others)


def test_int8_models_are_small_and_nearly_right() -> None:
    network = random_network()
    exact = to_onnx(network, 40, "float32")
    rng = np.random.default_rng(0)
    small = quantize(exact, (rng.uniform(-1, 1, (1, 3, 40, 40)).astype(np.float32) for _ in range(16)))
    assert len(small) < 0.5 * len(exact)
    assert largest_difference(network, small, 40) < 0.1


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


def test_too_few_pictures_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fewer than one batch"):
        training(tmp_path, tmp_path / "run", batch=1000)


def test_a_teacher_of_the_same_classes_is_learned_from(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "family.toml").write_text(FAMILY, encoding="utf-8")
    dataset = load("fashion-mnist", trained / "data")
    teacher = Checkpoint.load(trained / "run")
    origin = Origin(
        family=load_family(str(folder / "family.toml")),
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=Recipe.model_validate({**RECIPE, "epochs": 1, "missing": 0.5, "mutual": 0.3}),
        teacher=teacher.summary(),
    )
    alone = build_trainer(origin, dataset, folder / "alone").run()
    taught = build_trainer(origin, dataset, folder / "taught", teacher=teacher).run()
    assert taught.history[0]["loss"] != alone.history[0]["loss"]
    assert "8 epochs, validation accuracy" in str(taught.origin.teacher)
    others = dataclasses.replace(teacher, origin=teacher.origin.model_copy(update={"classes": ("a", "b")}))
    with pytest.raises(UserError, match="other classes"):
        build_trainer(origin, dataset, folder / "refused", teacher=others)


def test_a_recipe_comes_from_a_file_and_assignments_which_win(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("mixup = 0.4\nepochs = 3\n[views]\nflip = 0.0\n", encoding="utf-8")
    recipe = read_recipe(str(tmp_path / "recipe.toml"), ["mixup=0", "views.erase=0.1"], epochs=10, batch=7)
    assert (recipe.mixup, recipe.epochs, recipe.batch) == (0, 3, 7)
    assert (recipe.views.flip, recipe.views.erase) == (0, 0.1)
    assert read_recipe("small-pictures", []).label_smoothing == 0.02
    assert read_recipe("few-pictures", []).frozen_blocks == 11


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("mixup", "write NAME=VALUE"),
        ("mixup=", "not valid TOML"),
        ("mixup=-1", "mixup: must be at least 0"),
        ("mixin=1", "mixin: there is no such key; there is epochs, batch"),
        ("views.tilt=1", "views.tilt"),
        ("batch.size=1", "batch is not a table"),
    ],
)
def test_a_wrong_part_of_a_recipe_is_told(assignment: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        read_recipe(None, [assignment], batch=8)


def test_a_missing_recipe_is_told() -> None:
    with pytest.raises(UserError, match="No such file"):
        read_recipe("nowhere.toml", [])
