"""By how much pictures are enlarged before their centre is cropped: what is most accurate, beyond chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.inference.pictures import decode
from vp_mqtt.training.datasets.pictures import ArrayPictures
from vp_mqtt.training.zoom import ZOOMS, best_zoom, choose_zoom, zoomed

SAMPLES = Path(__file__).parents[2] / "vp_mqtt" / "assets" / "samples" / "fashion-mnist"


def test_the_zoom_of_the_largest_share_is_taken() -> None:
    shares = np.full((len(ZOOMS), 50), 0.5)
    shares[3] += 0.1
    shares[4] += 0.05
    assert best_zoom(shares) == ZOOMS[3]


def test_what_could_be_chance_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    shares = np.full((len(ZOOMS), 12), 0.5)
    shares[2] += rng.normal(0, 0.2, 12)
    shares[2] += 0.01 - shares[2].mean() + 0.5
    assert best_zoom(shares) == 1
    assert best_zoom(np.full((len(ZOOMS), 1), 0.5)) == 1


def test_a_family_finds_out_that_things_are_smaller_than_it_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures with a border around what the bundle's family has learned: their centre is what it knows."""
    bundle = open_bundle("fashion-mnist")
    manifest = bundle.manifest
    files = [file for name in manifest.classes for file in sorted((SAMPLES / name).iterdir())[:8]]
    framed = [np.pad(decode(file.read_bytes(), formats=FILES)[..., 0], 3) for file in files]
    pictures = np.stack(framed).astype(np.uint8)
    labels = np.array([manifest.classes.index(file.parent.name) for file in files], dtype=np.int64)
    monkeypatch.setattr("vp_mqtt.training.zoom._MAX_PICTURES", 60)
    models = [bundle.model_bytes(variant.index) for variant in manifest.variants]
    whole = zoomed(manifest, 1.0)
    assert choose_zoom(whole, models, ArrayPictures(pictures, labels, "framed")) >= 1.15


def test_a_bundle_that_crops_a_margin_has_no_zoom() -> None:
    manifest = open_bundle("cifar10").manifest.model_copy(update={"preprocessing": Preprocessing(margin=8)})
    assert choose_zoom(manifest, [], ArrayPictures(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int64), "x")) == 1
    assert zoomed(manifest, 1).preprocessing.margin == 8
    with pytest.raises(UserError, match=r"--zoom 1\.1: the bundle 'cifar10' crops a margin already"):
        zoomed(manifest, 1.1)
