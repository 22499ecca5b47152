from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.training_data import FAMILY, write_class_folders
from tests.training.test_networks import network
from tests.training.test_pretrained import CLASSES, as_torchvision, write_npz
from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.builder import build_trainer
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint, Origin
from vp_mqtt.training.datasets import load
from vp_mqtt.training.frozen.pretrained import start_from_files
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.pretrained.starting_weights import (
    StartingWeights,
    WeightMatch,
    candidates_for,
    load_first_fitting,
    own_starts,
    read_starting_weights,
    short_name,
)
from vp_mqtt.training.recipe import Recipe


def test_of_several_files_the_one_trained_at_the_nearest_resolution_is_taken(tmp_path: Path) -> None:
    networks = [network(alpha=0.1) for _ in range(2)]
    paths = [write_npz(one, tmp_path / name) for one, name in zip(networks, ("a.npz", "b@2.npz"), strict=True)]
    specs = [VariantSpec(resolution=side, alpha=0.1, head=8) for side in (64, 95, 200)]
    family = FamilySpec(name="new", variants=tuple(specs))

    def taken(spec: VariantSpec, *files: str) -> list[int]:
        new = VariantNetwork(spec, 3)
        load_first_fitting(new, candidates_for(read_starting_weights(files, None, family), spec, CLASSES))
        first = new.features[0][0].weight  # type: ignore[index]
        return [index for index, one in enumerate(networks) if torch.equal(first, one.features[0][0].weight)]  # type: ignore[index]

    files = (f"{paths[0]}@128", f"{paths[1]}@64")
    assert [taken(spec, *files) for spec in specs] == [[1], [1], [0]]
    assert [taken(spec, str(paths[0]), files[1]) for spec in specs] == [[1], [1], [1]]
    starts = read_starting_weights([str(path) for path in paths], None, family)
    assert [start.resolution for start in starts] == [None, None]
    with pytest.raises(UserError, match=r"a\.npz@: "):
        read_starting_weights([f"{paths[0]}@"], None, family)


def trained(folder: Path, *variants: VariantSpec, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write the checkpoint of a training, whose networks have random weights."""
    origin = Origin(
        family=FamilySpec(name="before", variants=variants), classes=classes, dataset="things", recipe=Recipe()
    )
    averages = [VariantNetwork(spec, len(classes)).state_dict() for spec in variants]
    empty: list[dict[str, Any]] = [{} for _ in variants]
    Checkpoint(origin, 3, networks=empty, averages=averages, optimizer={}, schedule={}).save(folder)
    return folder


def started(run: Path, spec: VariantSpec, classes: tuple[str, ...] = CLASSES) -> tuple[VariantNetwork, WeightMatch]:
    """Return a new variant that starts from a training, and what it took of it."""
    new = VariantNetwork(spec, len(classes))
    starts = read_starting_weights([str(run)], None, FamilySpec(name="new", variants=(spec,)))
    return new, load_first_fitting(new, candidates_for(starts, spec, classes))


@pytest.mark.parametrize(("resolution", "taken"), [(16, 0), (39, 0), (40, 1), (64, 1), (79, 1), (80, 2), (224, 2)])
def test_a_variant_starts_from_the_one_of_the_nearest_resolution(tmp_path: Path, resolution: int, taken: int) -> None:
    specs = [VariantSpec(resolution=side, alpha=0.1, head=16) for side in (16, 64, 96)]
    run = trained(tmp_path / "run", *specs)
    new, match = started(run, VariantSpec(resolution=resolution, alpha=0.1, head=16))
    # 40 and 80 lie half-way between two: the larger of them is taken.
    state, average = new.state_dict(), Checkpoint.load(run).averages[taken]
    assert match.kept == match.unused == ()
    assert all(torch.equal(state[name], average[name]) for name in match.loaded)


@pytest.mark.parametrize("knows", [None, (0, 2)])
def test_the_classifier_is_taken_with_the_same_classes_only(tmp_path: Path, knows: tuple[int, ...] | None) -> None:
    spec = VariantSpec(resolution=32, alpha=0.1, head=16, knows=knows)
    run = trained(tmp_path / "run", spec)
    assert started(run / CHECKPOINT_NAME, spec)[1].kept == ()
    of_others = {"classifier.weight", "classifier.bias"}
    new, match = started(run, spec, ("cup", "pen", "key"))
    assert set(match.kept) == of_others
    assert not new.state_dict()["classifier.bias"].any()
    others_known = spec.model_copy(update={"knows": (1, 2)})
    assert set(started(run, others_known)[1].kept) == of_others


def test_of_several_of_one_resolution_the_equal_variant_is_taken(tmp_path: Path) -> None:
    narrow, wide = (VariantSpec(resolution=32, alpha=0.1, head=head) for head in (16, 24))
    run = trained(tmp_path / "run", narrow, wide)
    new, match = started(run, wide)
    assert match.kept == ()
    assert torch.equal(new.state_dict()["head.0.weight"], Checkpoint.load(run).averages[1]["head.0.weight"])


def test_each_variant_of_a_family_that_continues_starts_from_its_own_weights(tmp_path: Path) -> None:
    spec = VariantSpec(resolution=32, alpha=0.1, head=16)
    run = trained(tmp_path / "run", spec, spec)
    family = FamilySpec(name="same", variants=(spec, spec))
    starts = read_starting_weights([str(run)], None, family)
    assert [[one is starts[0] for one in own] for own in own_starts(starts, family.variants)] == [[True], [False]]
    assert [len(own) for own in own_starts(starts, (spec,))] == [2]
    first, second = start_from_files([str(run)]).backbones
    assert first.model != second.model


def test_the_head_is_taken_where_it_fits(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", VariantSpec(resolution=32, alpha=0.1, head=16))
    _, match = started(run, VariantSpec(resolution=32, alpha=0.1, head=24))
    # The classifier's offsets would fit, but not what they belong to.
    assert {name.partition(".")[0] for name in match.kept} == {"head", "classifier"}


@pytest.mark.parametrize("filters", [8, 16])
def test_a_cut_variant_starts_from_a_whole_one_with_a_new_head(tmp_path: Path, filters: int) -> None:
    whole = VariantSpec(resolution=32, alpha=0.1, head=16)
    cut = VariantSpec(resolution=32, alpha=0.1, head=filters, stages=5)
    new, match = started(trained(tmp_path / "run", whole), cut)
    assert {name.partition(".")[0] for name in match.kept} == {"head", "classifier"}
    published = write_npz(network(alpha=0.1, head=1280), tmp_path / "published.npz")
    starts = read_starting_weights([str(published)], None, FamilySpec(name="new", variants=(cut,)))
    match = load_first_fitting(new, candidates_for(starts, cut, CLASSES))
    assert {name.partition(".")[0] for name in match.kept} == {"head", "classifier"}
    # One cut like it is taken as it is; a whole one finds nothing to start from there.
    shorter = trained(tmp_path / "cut", cut)
    assert started(shorter, cut)[1].kept == ()
    with pytest.raises(UserError, match=r"no 'features\.14\..*: it is of fewer stages; .*--family"):
        started(shorter, whole)


def test_trainings_and_files_serve_one_width_each(tmp_path: Path) -> None:
    specs = [VariantSpec(resolution=32, alpha=alpha, head=16) for alpha in (0.1, 0.35, 0.5)]
    runs = [trained(tmp_path / str(spec.alpha), spec) for spec in specs[:2]]
    file = write_npz(network(alpha=0.5), tmp_path / "file.npz")
    starts = read_starting_weights([str(file), *map(str, runs)], None, FamilySpec(name="new", variants=tuple(specs)))
    kept = [load_first_fitting(VariantNetwork(s, 3), candidates_for(starts, s, CLASSES)).kept for s in specs]
    assert [len(names) for names in kept] == [0, 0, 7]
    file_weights = StartingWeights({"file": np.zeros(1, np.float32)})
    assert candidates_for([file_weights, *starts[1:]], specs[0], CLASSES)[-1].keys() == {"file"}


def test_what_is_no_training_is_told(tmp_path: Path) -> None:
    family = FamilySpec(name="new", variants=(VariantSpec(resolution=32, head=16),))
    with pytest.raises(UserError, match=r"checkpoint\.pt: .*name the folder of a training"):
        read_starting_weights([str(tmp_path)], None, family)
    path = trained(tmp_path / "run", VariantSpec(resolution=32, alpha=0.1, head=16)) / CHECKPOINT_NAME
    content = torch.load(path)
    torch.save(content | {"averages": [{"features": 1}]}, path)
    with pytest.raises(UserError, match="not one of this version"):
        read_starting_weights([str(path.parent)], None, family)
    with pytest.raises(UserError, match="not a state_dict"):
        read_starting_weights([str(path)], None, family)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a file of tensors only"):
        read_starting_weights([str(path)], None, family)
    torch.save(as_torchvision(network()), path)
    assert [start.spec for start in read_starting_weights([str(path)], None, family)] == [None]


def test_a_training_is_called_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(tmp_path / "run", VariantSpec(resolution=32, alpha=0.1, head=16))
    monkeypatch.chdir(run)
    assert {short_name(name) for name in (str(run), f"{run}/", f"{run / CHECKPOINT_NAME}", ".")} == {"run"}
    assert [short_name(name) for name in ("imagenet", "some/weights.npz")] == ["imagenet", "weights.npz"]


def test_a_family_goes_on_from_a_training_of_one_variant(tmp_path: Path) -> None:
    (tmp_path / "family.toml").write_text(FAMILY, encoding="utf-8")
    dataset = load(str(write_class_folders(tmp_path / "things")))
    family = load_family(str(tmp_path / "family.toml"))
    one = Origin(
        family=FamilySpec(name="one", variants=family.variants[:1]),
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=Recipe(epochs=1, batch=8),
    )
    before = build_trainer(one, dataset, tmp_path / "one").run()
    starts = read_starting_weights([str(tmp_path / "one")], None, family)
    every = one.model_copy(update={"family": family, "pretrained": "one"})
    training = build_trainer(every, dataset, tmp_path / "every", weights=starts)
    for state in training.checkpoint().networks:
        assert all(
            torch.equal(value, before.averages[0][name])
            for name, value in state.items()
            if not name.endswith("num_batches_tracked")
        )
    after = training.run()
    assert len(after.networks) == 2
    assert Checkpoint.load(tmp_path / "every").origin.pretrained == "one"


def test_a_training_of_another_width_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "family.toml").write_text(FAMILY, encoding="utf-8")
    run = trained(tmp_path / "run", VariantSpec(resolution=32, alpha=0.35, head=16))
    command = [sys.executable, "-m", "vp_mqtt", "train", str(write_class_folders(tmp_path / "things")), "--batch", "8"]
    command += ["--family", str(tmp_path / "family.toml"), "--out", str(tmp_path / "out"), "--pretrained", str(run)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "of another width" in refused.stderr
    assert not (tmp_path / "out").exists()
