"""Versions of the preprocessing: what the second changes, and what it leaves as it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import Manifest, Preprocessing
from vp_mqtt.inference.pictures import decode, encode_jpeg, prepare, resize_square
from vp_mqtt.site.synthetic_photos import synthetic_photo

SIDES = st.integers(1, 300)


@given(SIDES, SIDES, st.integers(16, 256), st.booleans())
def test_small_pictures_are_enlarged_alike(width: int, height: int, side: int, is_cover: bool) -> None:  # noqa: FBT001
    fit = "cover" if is_cover else "stretch"
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    first, second = (resize_square(picture, side, fit, version) for version in (1, 2))
    assert first.shape == second.shape == (side, side, 3)
    if min(width, height) <= side:
        assert (first == second).all()


def test_means_of_squares_are_exact() -> None:
    rng = np.random.default_rng(0)
    means = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    picture = np.repeat(np.repeat(means, 4, axis=0), 4, axis=1)
    assert (resize_square(picture, 32, version=2) == means).all()
    # What fills no square is left out.
    assert (resize_square(np.pad(picture, ((0, 3), (0, 2), (0, 0))), 32, version=2) == means).all()


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (300, 200)])
@pytest.mark.parametrize("side", [96, 128, 192, 256])
def test_both_show_the_same(width: int, height: int, side: int) -> None:
    photo = synthetic_photo(width, height, 0)
    jpeg = encode_jpeg(photo, 90)
    exact = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA).astype(float)
    for version in (1, 2):
        preprocessing = Preprocessing(version=version)
        seen = prepare(decode(jpeg, side, version=version), side, preprocessing)
        differences = np.abs((seen[0, ::-1].transpose(1, 2, 0) + 1) * 127.5 - exact)
        assert differences.mean() < 6


def test_less_is_decoded() -> None:
    jpeg = encode_jpeg(synthetic_photo(640, 480, 0), 90)
    assert decode(jpeg, 192, version=1).shape[:2] == (480, 640)
    assert decode(jpeg, 192, version=2).shape[:2] == (240, 320)
    assert decode(jpeg, 240, version=2).shape[:2] == (240, 320)
    assert decode(jpeg, 241, version=2).shape[:2] == (480, 640)


def test_the_manifest_names_the_second_version_only() -> None:
    manifest = open_bundle("fashion-mnist").manifest
    assert manifest.preprocessing.version == 1
    assert b"version" not in manifest.canonical()
    second = manifest.model_copy(update={"preprocessing": Preprocessing(version=2)})
    assert Manifest.model_validate_json(second.canonical()) == second
    assert second.digest != manifest.digest
