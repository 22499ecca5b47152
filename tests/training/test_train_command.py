"""`vp train` on the command line: what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.support.command_line import error_line, run_vp
from tests.support.training_data import FAMILY, write_fashion_mnist
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint


def test_the_command_says_what_to_do_next_and_what_is_odd(tmp_path: Path) -> None:
    (tmp_path / "family.toml").write_text(FAMILY, encoding="utf-8")
    data = ("fashion-mnist", "--root", str(write_fashion_mnist(tmp_path / "data")))
    flags = (*data, "--family", str(tmp_path / "family.toml"), "--batch", "40", "--only", "0")
    out = tmp_path / "run"
    code, printed, said = run_vp("train", *flags, "--epochs", "1", "--out", str(out))
    assert (code, printed) == (0, f"{out}: make a bundle of it: vp export {out} --out bundles/fashion-mnist\n")
    assert "start from pretrained weights (--pretrained), give more --epochs" in said
    code, printed, _ = run_vp("train", *data, "--out", str(out), "--resume")
    assert code == 0
    assert printed.startswith(f"{out}: all 1 epochs are done already; make a bundle of it: ")
    file = str(tmp_path / "family.toml")
    assert error_line(run_vp("train", *data, "--out", file)) == f"--out {file}: this is a file; name a folder"
    line = error_line(run_vp("train", *flags, "--set", "distilled=0.7", "--out", str(tmp_path / "alone")))
    assert line.endswith("name the teacher with --teacher")
    # A teacher of another split, and one that was stopped, teach, but not without a word.
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
    assert (code, "all 1 epochs are done" in printed) == (0, True)
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
