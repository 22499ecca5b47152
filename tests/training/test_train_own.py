"""`vp train FOLDER` with nothing else said: what it does when it is resumed, and without torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import run_vp
from tests.support.training_data import write_fashion_mnist
from tests.training.helpers import training
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.cli import train_own
from vp_mqtt.training.export import export_bundle


def test_a_finished_one_says_so_and_finds_its_pictures(tmp_path: Path) -> None:
    trained = training(tmp_path, tmp_path / "run", epochs=1).run()
    trained.origin = trained.origin.model_copy(update={"root": str(tmp_path / "data")})
    trained.save(tmp_path / "run")
    write_fashion_mnist(tmp_path / "data", train=800)
    export_bundle(trained, tmp_path / "run" / "bundle")
    before = (tmp_path / "run" / "bundle" / MANIFEST_NAME).read_bytes()
    assert json.loads(before)["provenance"]["epochs"] == 1
    code, printed, _ = run_vp("train", "fashion-mnist", "--out", str(tmp_path / "run"), "--resume")
    assert code == 0
    assert printed.startswith("this training is finished already: the fine-tuned family is in ")
    assert (tmp_path / "run" / "bundle" / MANIFEST_NAME).read_bytes() == before


def test_what_is_missing_for_fine_tuning_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = training(tmp_path, tmp_path / "run", epochs=1).run()
    data = write_fashion_mnist(tmp_path / "data", train=800)
    export_bundle(trained, tmp_path / "run" / "bundle")
    monkeypatch.setattr(train_own, "missing_for_training", lambda: ["torch", "onnxscript"])
    train_own.train_own("fashion-mnist", tmp_path / "run", root=data, seed=None, pretrained=(), resumes=True)
    assert "not fine-tuned: that needs torch and onnxscript (docs/training.md)\n" in capsys.readouterr().out
