"""Whether frozen backbones see whole pictures or their centre: what their own pictures say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.support.command_line import error_line, run_vp
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import FamilySpec, Preprocessing, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.training import datasets
from vp_mqtt.training.bundle_writer import VariantModel, write_bundle
from vp_mqtt.training.frozen import report
from vp_mqtt.training.frozen.features import Watcher
from vp_mqtt.training.frozen.pretrained import start_from_weights
from vp_mqtt.training.frozen.start import Start
from vp_mqtt.training.frozen.teach import teach
from vp_mqtt.training.frozen.zoom_choice import ZOOMS, best_features, looked_at, with_best_zoom
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.pretrained.starting_weights import StartingWeights
from vp_mqtt.training.pretrained.weight_files import as_arrays

SPECS = (VariantSpec(resolution=48, alpha=0.1, head=16), VariantSpec(resolution=64, alpha=0.1, head=16))
SIDE, EDGE = 100, 5
"""Of the pictures, in pixels; a zoom of 1.15 leaves out 6.5 at each edge."""


@pytest.fixture(scope="module")
def start() -> Start:
    torch.manual_seed(0)
    weights = [StartingWeights(as_arrays(VariantNetwork(spec, 2).state_dict()), spec, ("x", "y")) for spec in SPECS]
    return start_from_weights(weights, FamilySpec(name="tiny", variants=SPECS), "random")


def _write_pictures(folder: Path, *, is_told_at_edge: bool) -> Path:
    """Write pictures of two classes that differ at the edge or inside of it, where the other part tells nothing."""
    rng = np.random.default_rng(0)
    for name, brightness in (("dark", 60), ("light", 190)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            shades = brightness, int(rng.integers(0, 256))
            edge, inside = shades if is_told_at_edge else shades[::-1]
            picture = np.full((SIDE, SIDE, 3), edge, dtype=np.uint8)
            picture[EDGE:-EDGE, EDGE:-EDGE] = inside
            cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    return folder


@pytest.mark.parametrize(("is_told_at_edge", "zoom"), [(True, 1.0), (False, 1.15)])
def test_boards_see_what_tells_the_classes_apart(
    start: Start, tmp_path: Path, *, is_told_at_edge: bool, zoom: float
) -> None:
    dataset = datasets.load(str(_write_pictures(tmp_path / "data", is_told_at_edge=is_told_at_edge)))
    told: list[tuple[str, int, int]] = []
    watcher = Watcher(on_progress=lambda *one: told.append(one))
    taught = teach(dataset, start, tmp_path / "bundle", name="edges", watcher=watcher)
    assert open_bundle(tmp_path / "bundle").manifest.preprocessing.zoom == zoom
    assert report.as_dict(taught)["zoom"] == zoom
    lines = report.as_lines(taught)
    assert ("boards see the centre of pictures, 1.15 times larger, without 7% at each edge" in lines) == (zoom > 1)
    done = [part for stage, part, _ in told if stage == "comparing"]
    assert done[0] == 1
    assert done == sorted(done)
    assert {total for stage, _, total in told if stage == "comparing"} == {done[-1]} == {2 * taught.pictures}


def test_what_is_named_is_not_compared(start: Start, tmp_path: Path) -> None:
    data = _write_pictures(tmp_path / "data", is_told_at_edge=True)
    variants = [VariantModel(one.spec, 1.0, one.model, one.params) for one in start.backbones]
    (tmp_path / "start").mkdir()
    write_bundle(tmp_path / "start", variants, name="tiny", classes=("x", "y"), k=1, provenance={})
    arguments = ("teach", str(data), "--pretrained", str(tmp_path / "start"), "--zoom", "1.2", "--progress")
    code, _, told = run_vp(*arguments, "--out", str(tmp_path / "bundle"))
    assert code == 0
    assert '"comparing"' not in told
    assert open_bundle(tmp_path / "bundle").manifest.preprocessing.zoom == 1.2
    line = error_line(run_vp(*arguments, "--out", str(tmp_path / "other"), "--fine-tune", str(tmp_path / "bundle")))
    assert "leave out --pretrained, --before and --zoom" in line


def test_a_margin_stays(start: Start, tmp_path: Path) -> None:
    dataset = datasets.load(str(_write_pictures(tmp_path / "data", is_told_at_edge=False)))
    cropping = replace(start, preprocessing=Preprocessing(margin=8))
    assert with_best_zoom(cropping, dataset.train, 2, 0, Watcher()) is cropping
    with pytest.raises(UserError, match=r"--zoom 1\.2: 'random' crops a margin already"):
        teach(dataset, cropping, tmp_path / "bundle", name="edges", zoom=1.2)
    assert not (tmp_path / "bundle").exists()


def test_features_that_tell_more_are_best() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    noise = rng.normal(size=(60, 1, 30)).astype(np.float32)
    telling = noise + 2 * np.eye(30, dtype=np.float32)[labels][:, np.newaxis]
    assert best_features([[noise, noise], [telling, telling]], [1, 1], labels, 3, 0) == 1
    assert best_features([[telling, noise], [noise, telling]], [3, 1], labels, 3, 0) == 0
    assert best_features([[telling], [telling]], [1], labels, 3, 0) == 0
    assert ZOOMS[0] == 1


def test_of_many_pictures_some_of_every_class_are_looked_at() -> None:
    labels = np.repeat(np.arange(4), (2000, 500, 40, 3))
    seen = looked_at(labels, 0)
    assert 390 < len(seen) < 410
    assert set(labels[seen]) == {0, 1, 2, 3}
    np.testing.assert_array_equal(looked_at(labels[:300], 0), np.arange(300))
