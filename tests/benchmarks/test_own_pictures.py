"""The comparison on few pictures: draws, both ways of training, and the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.own_pictures import report
from benchmarks.own_pictures.features import FeatureCache, read_or_measure
from benchmarks.own_pictures.measure import FEWEST_TESTED, all_variants, compare_all, draw
from benchmarks.own_pictures.usual_recipe import train_head
from tests.support.training_data import write_class_folders
from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.training.datasets import load

LABELS = np.repeat(np.arange(6), (30, 30, 8, 30, 30, 30))


def test_a_draw_trains_on_some_and_tests_on_the_others() -> None:
    drawn = draw(LABELS, 4, 20, 0)
    (train, of_train), (test, of_test) = drawn.train, drawn.test
    assert drawn.classes == 4
    assert np.bincount(of_train).tolist() == [20] * 4
    assert np.bincount(of_test).min() >= FEWEST_TESTED
    assert not set(train) & set(test)
    assert 2 not in LABELS[train]
    for label in range(4):
        assert set(LABELS[train[of_train == label]]) == set(LABELS[test[of_test == label]])
    assert draw(LABELS, 4, 20, 0).train[0].tolist() == train.tolist()
    assert draw(LABELS, 4, 20, 1).train[0].tolist() != train.tolist()
    # Where there are not enough classes, all that are there are taken.
    assert draw(LABELS, 50, 20, 0).classes == 5


def test_the_usual_recipe_learns_what_can_be_told() -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(60, 40)) + 9 * np.eye(40)[np.arange(60) % 3]).astype(np.float32)
    labels = np.arange(60) % 3
    assert (train_head(features[:40], labels[:40], features[40:], 3, 0) == labels[40:]).mean() > 0.9


def test_every_way_is_compared_and_tabulated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    family = all_variants()
    features = tuple(
        (rng.normal(size=(len(LABELS), 2, 30)) + 3 * np.eye(30)[LABELS][:, None]).astype(np.float32)
        for _ in family.variants
    )
    found = FeatureCache(family.variants, features)
    rows = compare_all([found, found], LABELS, classes=[3], pictures=[5], seeds=[0, 1], folder=tmp_path)
    assert [one["seed"] for one in rows[0]["draws"]] == [0, 1]
    heading, row = report.rows({"rows": rows})
    assert len(heading) == len(row)
    assert row[:3] == ("3", "5", "2")
    assert len(list(tmp_path.iterdir())) == 2
    assert float(row[3].strip("* %")) > 90
    # Of features that are level, those of whole pictures are taken.
    assert rows[0]["draws"][0]["mixed"]["zoom"] == 1


def test_features_are_kept(tmp_path: Path) -> None:
    pictures = load(str(write_class_folders(tmp_path / "data"))).train
    spec = VariantSpec(resolution=24, alpha=0.1, head=16)
    folder = tmp_path / "cache"
    folder.mkdir()
    stored = np.ones((len(pictures), 2, 16), dtype=np.float16)
    np.savez(folder / "000000.npz", stored)
    family = FamilySpec(name="one", variants=(spec,))
    found = read_or_measure(family, lambda: pytest.fail("there is nothing to compute"), pictures, folder)
    np.testing.assert_array_equal(found.of(family)[0], stored)
