"""What looks the same is near, what does not is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.inference.picture_look import PictureLook
from vp_mqtt.inference.pictures import Picture, PictureError, encode_jpeg


def scene(seed: int, height: int = 120, width: int = 160) -> Picture:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(20))
def test_noise_compression_and_size_leave_pictures_near(seed: int) -> None:
    picture = scene(seed)
    noise = np.random.default_rng(seed).normal(0, 4, picture.shape)
    noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    smaller = np.asarray(cv2.resize(noisy, (96, 72), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    assert PictureLook.of(picture).is_near(PictureLook.of_jpeg(encode_jpeg(noisy, 60)))
    assert PictureLook.of(picture).is_near(PictureLook.of(smaller))


@pytest.mark.parametrize("seed", range(20))
def test_other_scenes_are_not_near(seed: int) -> None:
    assert not PictureLook.of(scene(seed)).is_near(PictureLook.of(scene(seed + 100)))


def test_flat_pictures_differ_by_their_colour() -> None:
    red, green = np.full((48, 64, 3), (0, 0, 200), np.uint8), np.full((48, 64, 3), (0, 200, 0), np.uint8)
    grain = np.random.default_rng(0).integers(-2, 3, red.shape)
    assert PictureLook.of(red).is_near(PictureLook.of(np.clip(red + grain, 0, 255).astype(np.uint8)))
    assert not PictureLook.of(red).is_near(PictureLook.of(green))


def test_what_is_no_picture_has_no_look() -> None:
    with pytest.raises(PictureError):
        PictureLook.of_jpeg(b"\xff\xd8 and no more")


@given(st.integers(0, 2**256 - 1), st.tuples(*[st.integers(0, 255)] * 3), st.integers(0, 2**256 - 1))
def test_looks_survive_as_bytes_and_nearness_is_mutual(bits: int, colour: tuple[int, int, int], more: int) -> None:
    one, other = PictureLook(bits, colour), PictureLook(more, colour)
    assert PictureLook.from_bytes(one.to_bytes()) == one
    assert one.is_near(one)
    assert one.is_near(other) == other.is_near(one)


@pytest.mark.parametrize("size", [0, 34, 36])
def test_other_bytes_are_no_look(size: int) -> None:
    with pytest.raises(ValueError, match="35 bytes"):
        PictureLook.from_bytes(bytes(size))
