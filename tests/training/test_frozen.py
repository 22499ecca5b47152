"""Families from frozen backbones: classifiers, their models, and `teach` from pictures to a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.command_line import error_line, run_vp
from tests.support.training_data import write_class_folders
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.cli.teach import _warn_of_learnt
from vp_mqtt.errors import UserError
from vp_mqtt.training import datasets, defaults
from vp_mqtt.training.bundle_writer import VariantModel, check_replaceable, write_bundle
from vp_mqtt.training.datasets.pictures import PictureFiles
from vp_mqtt.training.evaluation.evaluate import default_encoder, evaluate_bundle
from vp_mqtt.training.familiarity import with_features
from vp_mqtt.training.frozen import report
from vp_mqtt.training.frozen.classifier import fit_classifier
from vp_mqtt.training.frozen.cross_validation import cross_validate, folds_of
from vp_mqtt.training.frozen.features import Cancelled, Watcher
from vp_mqtt.training.frozen.graph import with_classifier
from vp_mqtt.training.frozen.outcome import find_doubts, outcome_of
from vp_mqtt.training.frozen.pretrained import start_from_weights
from vp_mqtt.training.frozen.start import Start, start_from_bundle
from vp_mqtt.training.frozen.teach import teach
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.pretrained.starting_weights import StartingWeights
from vp_mqtt.training.pretrained.weight_files import as_arrays

SPECS = (VariantSpec(resolution=24, alpha=0.1, head=16), VariantSpec(resolution=32, alpha=0.1, head=16))


@pytest.fixture(scope="module")
def start() -> Start:
    torch.manual_seed(2)
    weights = [StartingWeights(as_arrays(VariantNetwork(spec, 2).state_dict()), spec, ("x", "y")) for spec in SPECS]
    return start_from_weights(weights, FamilySpec(name="tiny", variants=SPECS), "random")


@pytest.fixture(scope="module")
def start_folder(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    variants = [VariantModel(one.spec, 1.0, one.model, one.params) for one in start.backbones]
    write_bundle(folder, variants, name="tiny", classes=("x", "y"), k=1, provenance={})
    return folder


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of class folders, whose pictures of one class have one colour."""
    folder, rng = tmp_path_factory.mktemp("things"), np.random.default_rng(0)
    for name, colour in (
        ("blue", (220, 30, 30)),
        ("green", (30, 220, 30)),
        ("none", (90, 90, 90)),
        ("red", (30, 30, 220)),
    ):
        (folder / name).mkdir()
        for number in range(12):
            picture = np.clip(np.array(colour) + rng.integers(-25, 25, (80, 100, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.jpg"), picture)
    return folder


@pytest.mark.parametrize("classes", [3, 40])
def test_a_model_gets_another_classifier(start: Start, classes: int) -> None:
    rng, one = np.random.default_rng(0), start.backbones[0]
    weights, bias = rng.normal(size=(classes, 16)), rng.normal(size=classes)
    picture = rng.uniform(-1, 1, (1, 3, 24, 24)).astype(np.float32)

    def run(model: bytes) -> np.ndarray:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        found: np.ndarray = np.asarray(session.run(None, {"picture": picture})[0]).reshape(-1)
        return found

    features = run(with_features(one.model))[one.outputs :]
    expected = np.exp(features @ weights.T + bias)
    changed = with_classifier(one.model, weights, bias)
    np.testing.assert_allclose(run(changed), expected / expected.sum(), atol=2e-3)
    again = with_classifier(changed, weights[:2], bias[:2])
    np.testing.assert_allclose(run(again), expected[:2] / expected[:2].sum(), atol=2e-3)
    with pytest.raises(UserError, match="16 features, the classifier 17"):
        with_classifier(one.model, np.zeros((2, 17)), np.zeros(2))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(2, 6))
def test_folds_have_their_share_of_every_class(labels: list[int], count: int) -> None:
    of_pictures = np.array(labels)
    folds = folds_of(of_pictures, count, 0)
    for label in np.unique(of_pictures):
        sizes = np.bincount(folds[of_pictures == label], minlength=count)
        assert sizes.max() - sizes.min() <= 1
    sizes = np.bincount(folds, minlength=count)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("count", [30, 400])
def test_a_classifier_is_the_most_probable_one(count: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    features = (rng.normal(size=(count, 60)) * 3 + 5 + np.eye(60)[labels] * 9).astype(np.float32)
    found = fit_classifier(features, labels, 3, 0.01)
    assert found.weights.shape == (3, 60)
    assert (found.probabilities(features).argmax(1) == labels).mean() > 0.95

    def loss(weights: np.ndarray) -> float:
        scale = (features.std(0) + 1e-3) * np.sqrt(60)
        wrong = -np.log(np.maximum(type(found)(weights, found.bias).probabilities(features), 1e-9))
        return float(wrong[np.arange(count), labels].mean() + 0.005 * ((weights * scale) ** 2).sum())

    for _ in range(5):
        assert loss(found.weights) < loss(found.weights + rng.normal(size=(3, 60)).astype(np.float32) * 0.01)


def test_cross_validation_does_not_learn_what_it_predicts() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    found = cross_validate(rng.normal(size=(100, 1, 200)).astype(np.float32), labels, 2, folds_of(labels, 5, 0))
    accuracy = float((found.probabilities.argmax(1) == labels).mean())
    assert report.is_no_better_than_chance(accuracy, 0.5, 100)


def test_a_family_is_taught(start: Start, things: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    dataset = datasets.load(str(things))
    before = teach(dataset, start, tmp_path / "first", name="first")
    taught = teach(
        dataset,
        start,
        tmp_path / "bundle",
        name="things",
        before=open_bundle(tmp_path / "first"),
        watcher=Watcher(on_progress=lambda *one: seen.append(one)),
    )
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.manifest == taught.manifest
    assert taught.pictures == len(dataset.train) + len(dataset.validation)
    assert taught.validated.fused > 2 * taught.chance
    assert taught.before is not None
    assert taught.before.as_dict() == before.outcome.as_dict()
    assert taught.before.fused == before.held_out.fused > 0.5
    assert before.outcome.unknown is not None
    assert evaluate_bundle(bundle, dataset.test, encoder=default_encoder()).fused == taught.held_out.fused
    assert bundle.manifest.calibration is not None
    # Pictures of no class have no score to be known by.
    assert bundle.manifest.calibration.pictures == taught.pictures * 3 // 4
    assert [entry.params for entry in bundle.manifest.variants] == [
        sum(p.numel() for p in VariantNetwork(spec, 4).parameters()) for spec in SPECS
    ]
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == [
        "comparing",
        "learning",
        "fitting",
        "testing",
        "writing",
    ]
    assert all(0 <= done <= total for _, done, total in seen)
    # A class that a bundle lacks is one that it gets wrong.
    fewer = outcome_of(bundle, ("blue", "green", "grey", "red"), dataset.test).fused
    confusion = taught.held_out.confusion
    assert fewer == (np.trace(confusion) - confusion[2, 2]) / len(dataset.test)


@pytest.mark.parametrize("stage", ["comparing", "learning", "fitting", "testing"])
def test_teaching_is_cancelled(start: Start, things: Path, tmp_path: Path, stage: str) -> None:
    stages: list[str] = []
    watcher = Watcher(on_progress=lambda now, _done, _total: stages.append(now), is_cancelled=lambda: stage in stages)
    with pytest.raises(Cancelled):
        teach(datasets.load(str(things)), start, tmp_path / "bundle", name="things", watcher=watcher)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_expect(start_folder: Path, things: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    code, text, _ = run_vp("train", str(things), "--pretrained", str(start_folder), "--out", str(tmp_path / "run"))
    assert code == 0
    assert "held-out pictures" in text
    assert "not fine-tuned: 4 validation pictures could not tell" in text
    assert open_bundle(tmp_path / "run" / "bundle").manifest.classes == ("blue", "green", "none", "red")
    assert "nothing was fine-tuned" in error_line(run_vp("export", str(tmp_path / "run"), "--out", str(out)))
    arguments = ("--pretrained", str(start_folder), "--out", str(out), "--json", "--progress")
    code, text, told = run_vp("teach", str(things), *arguments)
    assert code == 0
    progress = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert progress[0] == {"stage": "comparing", "done": 1, "total": 80}
    assert progress[-1] == {"stage": "writing", "done": 1, "total": 1}
    result = json.loads(text)
    assert result["outcome"]["fused"] == result["held_out"]["fused"]
    assert np.array(result["outcome"]["confusion"]).sum() == 8
    assert result["held_out"]["images"] == 8
    assert result["before"] is None
    line = error_line(run_vp("calibrate", str(out), str(things), "--out", str(tmp_path / "calibrated")))
    assert "was taught these pictures, and is calibrated by cross-validation" in line
    for name in ("blue", "red"):
        shutil.copytree(things / name, tmp_path / "others" / name)
    others = run_vp(
        "train", str(tmp_path / "others"), "--pretrained", str(start_folder), "--out", str(tmp_path / "run")
    )
    assert "there is a bundle of other classes" in error_line(others)
    line = error_line(run_vp("teach", str(things), "--pretrained", str(start_folder), "--out", str(things)))
    assert "something other than a bundle" in line


def test_pictures_that_tell_nothing_are_spoken_of(start: Start, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "noise" / name).mkdir(parents=True)
        for number in range(12):
            picture = rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "noise" / name / f"{number}.png"), picture)
    taught = teach(datasets.load(str(tmp_path / "noise")), start, tmp_path / "bundle", name="noise")
    lines = "\n".join(report.as_lines(taught))
    assert "no better than always naming the largest class" in lines


def test_pictures_that_seem_to_be_of_another_class_are_found_the_surest_first(start_folder: Path, things: Path) -> None:
    manifest = open_bundle(start_folder).manifest.model_copy(update={"classes": ("blue", "red"), "k": 1})
    files = [things / "blue" / f"{number}.jpg" for number in range(5)]
    pictures = PictureFiles(files, np.array([0, 0, 0, 1, 1]))
    of_red = np.array([0.1, 0.7, 0.45, 0.05, 0.9], dtype=np.float32)
    doubts = find_doubts(manifest, np.stack([np.stack([1 - of_red, of_red], axis=1)] * 2), pictures)
    assert [(one.picture, one.label, one.seems) for one in doubts] == [
        (str(files[3]), "red", "blue"),
        (str(files[1]), "blue", "red"),
    ]
    assert doubts[0].as_dict()["confidence"] == pytest.approx(0.95, abs=0.01)


def test_weak_classes_are_named() -> None:
    confusion = np.array([[8, 2, 0], [0, 10, 0], [1, 4, 5]])
    weak = report.weak_classes(confusion, ("cup", "mug", "pen"))
    assert [(one.name, one.accuracy, one.taken_for) for one in weak] == [("pen", 0.5, "mug"), ("cup", 0.8, "mug")]


def test_choices_by_size_and_number(tmp_path: Path) -> None:
    small = datasets.load(str(write_class_folders(tmp_path / "small")))
    side = defaults.usual_side(small.train)
    assert (side, defaults.family_for(side), defaults.start_for(side)) == (40, "small", "cifar10")
    assert (defaults.family_for(240), defaults.start_for(240)) == ("paper", "caltech101")
    assert [defaults.batch_for(count) for count in (2, 7, 30, 200, 5000)] == [2, 2, 7, 16, 128]
    assert not defaults.can_tell_gain(small)


def test_bundles_without_float_weights_are_refused(start_folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((start_folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["variants"][0]["knows"] = [0]
    for file in start_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UserError, match="know some of the classes"):
        start_from_bundle(open_bundle(tmp_path), "odd")


def test_the_zoom_of_the_bundle_to_start_from_does_not_count(start_folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((start_folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["preprocessing"] |= {"version": 2, "zoom": 1.2}
    for file in start_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = start_from_bundle(open_bundle(tmp_path), "zoomed").preprocessing
    assert (found.version, found.zoom) == (2, 1.0)


@pytest.mark.parametrize("has_test", [False, True])
def test_a_bundle_that_has_learnt_from_what_is_held_out_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, has_test: bool
) -> None:
    things = tmp_path / "things"
    for part in ("train", "test") if has_test else (".",):
        write_class_folders(things / part)
    built_in = open_bundle("cifar10").manifest

    def said(**provenance: str | int) -> str:
        manifest = built_in.model_copy(update={"provenance": provenance})
        dataset = datasets.load(str(things), None, 1)
        _warn_of_learnt("--before", manifest, dataset, 1, lambda seed: datasets.load(str(things), None, seed))
        return capsys.readouterr().err

    for provenance in ({"dataset": "things", "seed": 1}, {"dataset": "others", "seed": 0}, {"dataset": "things"}):
        assert said(**provenance) == ""
    told = said(dataset="things", seed=0)
    assert told.count("\n") == (0 if has_test else 1)
    assert has_test or told.startswith("--before: this bundle was trained with --seed 0, not 1, so that it may")
    total = len(datasets.load(str(things)).everything())
    assert said(dataset="things", seed=1, pictures=total) == ""
    told = said(dataset="things", seed=1, pictures=total - 1)
    assert told.count("\n") == (0 if has_test else 1)
    assert has_test or told.startswith(f"'things' has {total} pictures, and had {total - 1} when this bundle was")


def test_a_bundle_of_pictures_that_have_changed_since_is_warned_of(start: Start, tmp_path: Path) -> None:
    things = write_class_folders(tmp_path / "things", per_class=6)
    teach(datasets.load(str(things)), start, tmp_path / "bundle", name="things", zoom=1)
    assert "split in another way" not in run_vp("eval", str(tmp_path / "bundle"), str(things))[2]
    next(things.rglob("*.png")).unlink()
    code, _, said = run_vp("eval", str(tmp_path / "bundle"), str(things))
    assert code == 0
    assert "'things' has 17 pictures, and had 18 when this bundle was trained: they are split in another way" in said


def test_a_folder_that_cannot_be_replaced_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"--out \.: this folder itself cannot be replaced"):
        check_replaceable(Path(), ("x", "y"))
    check_replaceable(Path("new"), ("x", "y"))


def test_folders_of_foreign_pictures_with_one_name_are_told_apart(start_folder: Path, tmp_path: Path) -> None:
    things = write_class_folders(tmp_path / "things", classes=2)
    for old, new in (("class 0", "x"), ("class 1", "y")):
        (things / old).rename(things / new)
    strange = [
        write_class_folders(tmp_path / time / "strange", per_class=number)
        for time, number in (("day", 1), ("night", 2))
    ]
    flags = [flag for folder in (*strange, things) for flag in ("--unknown", str(folder))]
    code, printed, _ = run_vp("eval", str(start_folder), str(things), *flags, "--json")
    assert code == 0
    found = {name: one["images"] for name, one in json.loads(printed)["unknown"].items()}
    assert found == {str(strange[0]): 3, str(strange[1]): 6, "things": 24}
