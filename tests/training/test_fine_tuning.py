"""Fine-tuning of a family that was taught: the better one is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.training_data import write_class_folders, write_fashion_mnist
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import FamilySpec, Preprocessing, VariantSpec
from vp_mqtt.cli.teach import say_tuned
from vp_mqtt.errors import UserError
from vp_mqtt.training import datasets, fine_tuning
from vp_mqtt.training.checkpoint import CheckpointUnsavedError
from vp_mqtt.training.datasets import Dataset
from vp_mqtt.training.evaluation.evaluate import evaluate_bundle
from vp_mqtt.training.frozen.pretrained import start_from_weights
from vp_mqtt.training.frozen.start import Start
from vp_mqtt.training.frozen.teach import teach
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.pretrained.starting_weights import StartingWeights
from vp_mqtt.training.pretrained.weight_files import as_arrays
from vp_mqtt.training.progress import ProgressLines, SilentProgress
from vp_mqtt.training.trainer import Trainer
from vp_mqtt.training.view_batches import WorkerKilledError

SPEC = VariantSpec(resolution=24, alpha=0.1, head=16)


def random_start() -> Start:
    torch.manual_seed(0)
    weights = StartingWeights(as_arrays(VariantNetwork(SPEC, 2).state_dict()), SPEC, ("x", "y"))
    start = start_from_weights([weights], FamilySpec(name="tiny", variants=(SPEC,)), "random")
    return dataclasses.replace(start, preprocessing=Preprocessing(version=2))


def test_few_pictures_are_fine_tuned_with_the_zoom_they_had_and_the_validation_part_is_not_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = datasets.load(str(write_class_folders(tmp_path / "things", per_class=5, classes=2)))
    bundle = tmp_path / "bundle"
    teach(dataset, random_start(), bundle, name="things", zoom=1.25)
    learnt: list[int] = []

    def teach_anew(*arguments: Any, **keywords: Any) -> object:
        taught = teach(*arguments, **keywords)
        learnt.append(taught.pictures)
        return taught

    monkeypatch.setattr(fine_tuning, "teach", teach_anew)
    monkeypatch.setattr(fine_tuning, "EPOCHS", 1)
    tuned = fine_tuning.fine_tune_copy(
        dataset, open_bundle(bundle), tmp_path / "tuned", name="x", data="", seed=0, progress=SilentProgress()
    )
    assert learnt == [len(dataset.train)]
    assert tuned.manifest.preprocessing.zoom == 1.25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "things", "tuned"]


@pytest.mark.parametrize(
    ("stopped_by", "said"),
    [
        (
            CheckpointUnsavedError(Path("x.pt"), "No space left on device", "continue with --resume"),
            r"^--out .*tuned: no room for the fine-tuning \(No space left on device\); make space, and try again$",
        ),
        (WorkerKilledError(), r"^a process that prepares pictures was killed, .*: end other programs, and try again$"),
    ],
)
def test_what_stops_the_fine_tuning_of_a_copy_does_not_advise_to_resume_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_by: UserError, said: str
) -> None:
    def stop(_: Trainer) -> None:
        raise stopped_by

    dataset = datasets.load(str(write_class_folders(tmp_path / "things", per_class=5, classes=2)))
    teach(dataset, random_start(), tmp_path / "bundle", name="things")
    monkeypatch.setattr(Trainer, "run", stop)
    with pytest.raises(UserError, match=said):
        fine_tuning.fine_tune_copy(
            *(dataset, open_bundle(tmp_path / "bundle"), tmp_path / "tuned"),
            name="x",
            data="",
            seed=0,
            progress=SilentProgress(),
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "things"]


@pytest.mark.parametrize("is_better", [True, False])
def test_the_better_family_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_better: bool
) -> None:
    data = write_fashion_mnist(tmp_path / "data", train=120, test=20)
    dataset = datasets.load("fashion-mnist", data)
    bundle = tmp_path / "run" / "bundle"
    first = teach(dataset, random_start(), bundle, name="clothes", learns_validation=False)
    assert first.pictures == len(dataset.train)
    measure = evaluate_bundle
    measured = []

    def evaluate(*arguments: object, **keywords: object) -> object:
        found = measure(*arguments, **keywords)  # type: ignore[arg-type]
        measured.append(found.fused)
        # What counts is the comparison: so few steps may go either way.
        wanted = 0.9 if (len(measured) == 2) == is_better else 0.0
        found.__dict__["accuracy"] = type(found.accuracy)(wanted, (wanted,))
        return found

    monkeypatch.setattr(fine_tuning, "evaluate_bundle", evaluate)
    monkeypatch.setattr(fine_tuning, "EPOCHS", 1)
    result = fine_tuning.fine_tune(
        dataset,
        bundle,
        tmp_path / "run",
        data="fashion-mnist",
        root=data,
        seed=0,
        progress=SilentProgress(),
    )
    assert len(measured) == 2
    monkeypatch.setattr(fine_tuning, "evaluate_bundle", lambda *_, **__: type("All", (), {"fused": 1.0}))
    right = fine_tuning.fine_tune(
        dataset, bundle, tmp_path / "other", data="x", root=None, seed=0, progress=SilentProgress()
    )
    assert (right.before, right.is_kept) == (1.0, False)
    assert not (tmp_path / "other").exists()
    assert (result.is_kept, result.images) == (is_better, len(dataset.validation))
    manifest = open_bundle(bundle).manifest
    assert (manifest.digest != first.manifest.digest) == is_better
    assert manifest.calibration is not None
    assert manifest.preprocessing.version == 2
    assert not (tmp_path / "run" / "fine-tuned").exists()

    if is_better:
        check_copy(dataset, bundle, tmp_path / "copy", capsys)


def check_copy(dataset: Dataset, bundle: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copy is fine-tuned beside the bundle, which stays as it is; both are compared on what neither has learnt."""
    steps: list[tuple[str, int, int]] = []
    first = open_bundle(bundle)
    tuned = fine_tuning.fine_tune_copy(
        dataset,
        first,
        out,
        name="tuned",
        data="fashion-mnist",
        seed=0,
        progress=ProgressLines(lambda *one: steps.append(one)),
    )
    assert open_bundle(out).manifest.digest == tuned.manifest.digest != first.manifest.digest
    assert open_bundle(bundle).manifest == first.manifest
    assert tuned.manifest.name == "tuned"
    assert tuned.before.images == tuned.after.images == len(dataset.test)
    assert steps[-1] == ("fine-tuning", steps[-1][2], steps[-1][2])
    worse, better = (dataclasses.replace(tuned.after, fused=share) for share in (0.4, 0.6))
    say_tuned(dataclasses.replace(tuned, before=worse, after=better), out, json=False)
    assert f"run it: vp push {out}" in capsys.readouterr().out
    say_tuned(dataclasses.replace(tuned, before=better, after=better), out, json=False)
    assert "keep the bundle that it started from" in capsys.readouterr().out
    others = dataclasses.replace(dataset, classes=tuple(reversed(dataset.classes)))
    with pytest.raises(UserError, match="other classes"):
        fine_tuning.fine_tune_copy(others, first, out, name="x", data="", seed=0, progress=SilentProgress())
    steps.clear()
    with pytest.raises(UserError, match="something other than a bundle"):
        fine_tuning.fine_tune_copy(
            dataset,
            first,
            out.parent,
            name="x",
            data="",
            seed=0,
            progress=ProgressLines(lambda *one: steps.append(one)),
        )
    assert steps == []
