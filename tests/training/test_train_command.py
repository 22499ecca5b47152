"""`vp train` on the command line: what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.command_line import error_line, run_vp
from tests.support.training_data import FAMILY, write_fashion_mnist
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint


class Trained(NamedTuple):
    """A training of one epoch, with the command's flags."""

    data: tuple[str, ...]
    family: Path
    out: Path
    printed: str
    said: str

    @property
    def flags(self) -> tuple[str, ...]:
        return (*self.data, "--family", str(self.family), "--batch", "40", "--only", "0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    family = folder / "family.toml"
    family.write_text(FAMILY, encoding="utf-8")
    data = ("fashion-mnist", "--root", str(write_fashion_mnist(folder / "data")))
    one = Trained(data, family, folder / "run", "", "")
    code, printed, said = run_vp("train", *one.flags, "--epochs", "1", "--out", str(one.out))
    assert code == 0
    return one._replace(printed=printed, said=said)


def test_the_command_says_what_to_do_next(trained: Trained, tmp_path: Path) -> None:
    data, out = trained.data, trained.out
    assert trained.printed == f"{out}: make a bundle of it: vp export {out} --out bundles/fashion-mnist\n"
    assert "start from pretrained weights (--pretrained), give more --epochs" in trained.said
    code, printed, _ = run_vp("train", *data, "--out", str(out), "--resume")
    assert code == 0
    assert printed.startswith(f"{out}: this training is finished already, after 1 epoch; make a bundle of it: ")
    file = str(trained.family)
    assert error_line(run_vp("train", *data, "--out", file)) == f"--out {file}: this is a file; name a folder"
    line = error_line(run_vp("train", *trained.flags, "--set", "distilled=0.7", "--out", str(tmp_path / "alone")))
    assert line.endswith("name the teacher with --teacher")


def test_teachers_of_another_split_or_stopped_ones_teach_but_not_without_a_word(
    trained: Trained, tmp_path: Path
) -> None:
    flags, out = trained.flags, trained.out
    saved = Checkpoint.load(out)
    longer = saved.origin.recipe.model_copy(update={"epochs": 5})
    stopped = dataclasses.replace(saved, origin=saved.origin.model_copy(update={"recipe": longer}))
    stopped.save(tmp_path / "stopped")
    teachers = ("--teacher", str(tmp_path / "stopped"), "--teacher", str(out))
    taught = tmp_path / "taught"
    start = ("--pretrained", str(out))
    code, _, said = run_vp("train", *flags, "--epochs", "1", "--seed", "1", *start, *teachers, "--out", str(taught))
    assert code == 0
    # What was done already is not advised.
    assert "; give more --epochs" in said
    assert f"--teacher {tmp_path / 'stopped'}: this training has done 1 of 5 epochs" in said
    assert f"--teacher {out}: it was trained with --seed 0, not 1" in said
    assert Checkpoint.load(taught).origin.teachers == (str(tmp_path / "stopped"), str(out))
    code, printed, _ = run_vp("train", "fashion-mnist", "--out", str(taught), "--resume")
    assert (code, "this training is finished already, after 1 epoch" in printed) == (0, True)
    code, _, said = run_vp("export", str(tmp_path / "stopped"), "--out", str(tmp_path / "bundle"))
    assert code == 0
    assert "has done 1 of 5 epochs" in said
    for wrong, says in (
        (tmp_path / "bundle", "this is a bundle"),
        (tmp_path / "damaged", "damaged, or not"),
    ):
        if not wrong.exists():
            wrong.mkdir()
            (wrong / CHECKPOINT_NAME).write_bytes((out / CHECKPOINT_NAME).read_bytes()[:100_000])
        line = error_line(run_vp("train", *flags, "--teacher", str(wrong), "--out", str(tmp_path / "new")))
        assert says in line
