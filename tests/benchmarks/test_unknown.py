"""Pictures of nothing, and classes left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.unknown import leave_out
from benchmarks.unknown.leave_out import FeatureSet, evaluate_without
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
