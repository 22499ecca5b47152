from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from tests.support.training_data import FAMILY, write_fashion_mnist
from tests.training.helpers import EPOCHS, RECIPE, training
from vp_mqtt.errors import UserError
from vp_mqtt.training.builder import build_trainer
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint, Origin
from vp_mqtt.training.datasets import load
from vp_mqtt.training.history import CURVES_NAME, HISTORY_NAME
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.recipe import Recipe
from vp_mqtt.training.trainer import Trainer
from vp_mqtt.training.view_batches import telling_of_killed_workers


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


def test_frozen_norms_keep_their_statistics_and_learn_their_scale(tmp_path: Path) -> None:
    before = training(tmp_path, tmp_path / "run").checkpoint()
    start = [{name: tensor.clone() for name, tensor in state.items()} for state in before.networks]
    after = training(tmp_path, tmp_path / "run", epochs=1, frozen_norms=True).run()
    norm = "features.0.1"
    for old, new in zip(start, after.networks, strict=True):
        for statistic in ("running_mean", "running_var"):
            torch.testing.assert_close(new[f"{norm}.{statistic}"], old[f"{norm}.{statistic}"], rtol=0, atol=0)
        assert not torch.equal(new[f"{norm}.weight"], old[f"{norm}.weight"])


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


def test_a_killed_training_resumes_from_its_last_checkpoint(tmp_path: Path) -> None:
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
    assert "epochs=500, not 3" in other.stderr
    # What the training is, the checkpoint says.
    command = [sys.executable, "-m", "vp_mqtt", "train", "fashion-mnist", "--root", str(data)]
    command += ["--out", str(tmp_path / "run"), "--resume"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while Checkpoint.load(tmp_path / "run").epoch <= saved.epoch:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()


def test_a_killed_worker_process_is_told_in_words(tmp_path: Path) -> None:
    """In a process of its own: torch raises that wherever the main thread happens to be."""
    (tmp_path / "family.toml").write_text(FAMILY, encoding="utf-8")
    data = write_fashion_mnist(tmp_path / "data")
    command = [sys.executable, "-m", "vp_mqtt", "train", "fashion-mnist", "--root", str(data), "--batch", "40"]
    command += ["--family", str(tmp_path / "family.toml"), "--out", str(tmp_path / "run"), "--epochs", "5000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        history = tmp_path / "run" / HISTORY_NAME
        until = time.monotonic() + 60
        while not history.exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 2
    assert "pictures was killed, perhaps for lack of memory: continue with --resume" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_other_errors_than_of_killed_workers_pass() -> None:
    with pytest.raises(RuntimeError, match="other"), telling_of_killed_workers():
        raise RuntimeError("other")


def test_an_epoch_counts_once_its_checkpoint_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: Trainer) -> dict[str, float]:
        raise KeyboardInterrupt

    trainer = training(tmp_path, tmp_path / "run", epochs=1)
    with monkeypatch.context() as stopped:
        stopped.setattr(Trainer, "validate", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    assert (trainer.epoch, trainer.checkpoint().history) == (0, [])
    assert not (tmp_path / "run" / CHECKPOINT_NAME).exists()
    again = training(tmp_path, tmp_path / "run", epochs=1)
    assert again.run().epoch == again.epoch == 1


@pytest.mark.parametrize("writes", [3, 10, 30])
def test_ctrl_c_while_a_checkpoint_is_written_is_no_full_disk(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    class Interrupted(io.BytesIO):
        left = writes

        def write(self, data: Any) -> int:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return super().write(data)

    checkpoint = Checkpoint.load(trained / "run")
    monkeypatch.setattr("vp_mqtt.training.checkpoint.open_atomically", lambda _: contextlib.nullcontext(Interrupted()))
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path)


def test_saving_on_a_full_disk_keeps_what_was_saved(trained: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(trained / "run")
    checkpoint.save(tmp_path)
    checkpoint.epoch = 99
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"pt: .* saved \(File too large\); the one before is kept: .*--resume"):
            checkpoint.save(tmp_path)
        with pytest.raises(UserError, match=r"pt: .* saved \(File too large\); there is none from before"):
            checkpoint.save(tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [CHECKPOINT_NAME]
    assert Checkpoint.load(tmp_path).epoch == EPOCHS


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04."])
def test_something_else_is_not_taken_for_a_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(UserError, match="not a checkpoint"):
        Checkpoint.load(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_told_before_the_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    trainer = training(tmp_path, tmp_path / "file" / "run")
    monkeypatch.setattr(trainer, "_train_epoch", lambda _drawn: pytest.fail("it has begun"))
    with pytest.raises(UserError, match=r"--out .*file is a file; name a folder"):
        trainer.run()


def test_too_few_pictures_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fewer than one batch"):
        training(tmp_path, tmp_path / "run", batch=1000)


def test_teachers_of_the_same_classes_are_learned_from(trained: Path, tmp_path: Path) -> None:
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
    taught = build_trainer(origin, dataset, folder / "taught", teachers=[teacher]).run()
    other_weights = [{name: tensor + 0.01 for name, tensor in state.items()} for state in teacher.averages]
    other = dataclasses.replace(teacher, averages=other_weights)
    taught_by_both = build_trainer(origin, dataset, folder / "by-both", teachers=[teacher, other]).run()
    losses = [training.history[0]["loss"] for training in (alone, taught, taught_by_both)]
    assert len(set(losses)) == len(losses)
    assert "8 epochs, validation accuracy" in str(taught.origin.teacher)
    others = dataclasses.replace(teacher, origin=teacher.origin.model_copy(update={"classes": ("a", "b")}))
    with pytest.raises(UserError, match="other classes"):
        build_trainer(origin, dataset, folder / "refused", teachers=[teacher, others])


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError, FileNotFoundError, EOFError])
def test_what_fetching_a_batch_of_a_killed_worker_fails_with_is_told_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    class Broken:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __iter__(self) -> Iterator[None]:
            raise error

    other = training(tmp_path, tmp_path / "run")
    monkeypatch.setattr("vp_mqtt.training.view_batches.DataLoader", Broken)
    with pytest.raises(UserError, match="was killed"):
        other.run()
