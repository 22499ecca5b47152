"""Pictures of nothing, and classes left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.unknown import leave_out, report
from benchmarks.unknown.leave_out import FeatureSet, choose_left_out, evaluate_without
from benchmarks.unknown.small_families import CANDIDATES, PICTURES, Pool, describe, evaluate_draw
from benchmarks.unknown.small_families import CLASSES as FEW
from benchmarks.unknown.small_families import draw as draw_family
from benchmarks.unknown.strange_pictures import HEIGHT, KINDS, WIDTH, blur, draw, write_strange_pictures
from vp_mqtt.bundle.manifest import FamilySpec, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.training.datasets.folders import loose_pictures

CLASSES, FILTERS = 8, 24


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_strange_pictures_are_the_same_for_the_same_number(kind: str) -> None:
    first = draw(kind, 0)
    assert first.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(first, draw(kind, 0))
    assert not np.array_equal(first, draw(kind, 1))
    assert (first.mean() < 40) == (kind == "black")


def test_they_are_written_in_a_folder_for_each_kind(tmp_path: Path) -> None:
    sharp = draw("noise", 0)
    (tmp_path / "sharp").mkdir()
    (tmp_path / "sharp" / "a.jpg").write_bytes(encode_jpeg(sharp, 90))
    written = write_strange_pictures(tmp_path / "out", 2, tmp_path / "sharp")
    assert written == {"black": 2, "noise": 2, "textures": 2, "blurred": 1}
    for kind, count in written.items():
        assert len(loose_pictures(tmp_path / "out" / kind)[0]) == count
    assert blur(sharp).std() < sharp.std() / 10
    with pytest.raises(UserError, match="name a new folder"):
        write_strange_pictures(tmp_path / "out", 2, None)


def test_classes_left_out_are_the_foreign_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leave_out, "K", 2)
    spec = FamilySpec(name="two", variants=(VariantSpec(resolution=16, head=8), VariantSpec(resolution=24, head=8)))
    generator = torch.Generator().manual_seed(0)
    labels = {part: np.arange(320) % CLASSES for part in ("train", "validation", "test")}

    def features() -> dict[str, torch.Tensor]:
        means = torch.rand(CLASSES, FILTERS, generator=generator)
        noise = {part: 0.1 * torch.randn(320, FILTERS, generator=generator) for part in labels}
        return {part: (means[torch.from_numpy(labels[part])] + noise[part]).relu() for part in labels}

    found = FeatureSet([features(), features()], labels)
    result = evaluate_without(tuple("abcdefgh"), spec, found, np.array([1, 4]), seed=0)
    assert (result["images"], result["unknown"]["images"]) == (240, 80)
    assert result["accuracy"]["fused"] > 0.95
    assert result["unknown"]["auroc"]["fused"] > 0.9
    assert result["unknown"]["by_bundle"]["kept"] == pytest.approx(0.95, abs=0.05)


def test_classes_that_are_alike_are_left_out_or_kept_together() -> None:
    units = [[0], [1, 4], [2], [3], [5]]
    choices = [choose_left_out(units, 3, seed).tolist() for seed in range(40)]
    assert {len(choice) for choice in choices} == {3}
    assert {(1 in choice, 4 in choice) for choice in choices} == {(True, True), (False, False)}
    assert choices[0] == choose_left_out(units, 3, 0).tolist()


def pool_of(classes: int, each: int, variants: int) -> Pool:
    """Return pictures whose features tell most of their classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    features = [
        (rng.normal(size=(classes, 1, FILTERS))[labels] + 2 * rng.normal(size=(len(labels), 1, FILTERS))).astype(
            np.float32
        )
        for _ in range(variants)
    ]
    is_candidate = np.tile(np.arange(each) < CANDIDATES, classes)
    return Pool(labels, features, is_candidate, [own[is_candidate] for own in features])


def test_a_small_family_learns_candidates_and_is_tested_on_all_others() -> None:
    pool = pool_of(6, 120, 2)
    learnt, labels, others, truth = draw_family(pool, 3)
    assert np.bincount(labels).tolist() == [PICTURES] * FEW
    assert pool.is_candidate[learnt].all()
    assert not set(learnt) & set(others)
    assert np.bincount(truth).tolist() == [120 - PICTURES] * FEW
    assert pool.labels[learnt[labels == 1]].tolist() == [pool.labels[others[truth == 1]][0]] * PICTURES


def test_the_confidence_of_small_families_is_compared_with_a_perfect_one() -> None:
    spec = FamilySpec(name="two", variants=(VariantSpec(resolution=16, head=8), VariantSpec(resolution=24, head=8)))
    row, confidences, is_right = evaluate_draw(spec, pool_of(5, 140, 2), 0)
    assert row["accuracy"] == pytest.approx(is_right.mean(), abs=1e-4)
    assert row["confidence"] == pytest.approx(row["accuracy"], abs=0.08)
    result = {"set": {"draws": [row, row], "together": describe(confidences, is_right)}}
    heading, cells = report.small_families(result)
    assert len(cells) == len(heading)
    assert cells[:3] == ["set", "2", "400"]


def test_what_a_perfect_family_would_show_is_chance_that_many_pictures_reduce() -> None:
    rng = np.random.default_rng(0)
    few, many = (describe(sure, rng.random(count) < sure) for count in (200, 20000) for sure in [rng.random(count)])
    assert few["ece_of_perfect"] > 0.05
    assert many["ece_of_perfect"] < 0.01
    assert many["ece"] == pytest.approx(many["ece_of_perfect"], abs=0.01)
    assert describe(np.full(1000, 0.9), np.arange(1000) % 2 == 0)["ece"] == pytest.approx(0.4)
