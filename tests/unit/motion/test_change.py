"""What counts as a change, on synthetic photos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vp_mqtt.inference.pictures import decode_grey, encode_jpeg
from vp_mqtt.motion.change import ChangeDetector, GreyPicture
from vp_mqtt.site.synthetic_photos import synthetic_photo

PHOTO = synthetic_photo(320, 240, 3)
SIDE = 48


def detector(threshold: float = 12.0, area: float = 0.005) -> ChangeDetector:
    return ChangeDetector(threshold=threshold, area=area)


def seen(
    picture: np.ndarray, seed: int, *, noise: float = 4.0, quality: int = 85, light: np.ndarray | float = 1.0
) -> GreyPicture:
    """Return what a camera sees: other light, noise that is new in every frame, and JPEG."""
    random = np.random.default_rng(seed)
    lit = picture * light + random.normal(0.0, noise, picture.shape)
    return decode_grey(encode_jpeg(np.clip(lit, 0, 255).astype(np.uint8), quality), SIDE)


def with_object(left: int, top: int, side: int, level: int) -> np.ndarray:
    """Return the photo with a grey square before it."""
    changed = PHOTO.copy()
    changed[top : top + side, left : left + side] = level
    return changed


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 15), st.sampled_from([30, 50, 90]), st.floats(0.9, 1.1))
def test_noise_jpeg_and_light_are_no_change(seed: int, noise: float, quality: int, light: float) -> None:
    detects = detector()
    detects.keep(seen(PHOTO, seed, noise=noise, quality=quality))
    for frame in range(3):
        assert not detects.has_changed(seen(PHOTO, seed + 1 + frame, noise=noise, quality=quality, light=light))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 270), st.integers(0, 190), st.floats(0, 8), st.floats(0.9, 1.1), st.integers(0, 2**31))
def test_an_object_is_a_change_wherever_it_is(left: int, top: int, noise: float, light: float, seed: int) -> None:
    detects = detector()
    detects.keep(seen(PHOTO, seed, noise=noise))
    behind = PHOTO[top : top + 50, left : left + 50].mean()
    level = 0 if behind > 128 else 255
    assert detects.has_changed(seen(with_object(left, top, 50, level), seed + 1, noise=noise, light=light))


def test_rows_that_a_lamp_lights_differently_are_no_change() -> None:
    detects = detector()
    rows = np.arange(240)[:, np.newaxis, np.newaxis]
    for phase in range(10):
        frame = seen(PHOTO, phase, light=1 + 0.04 * np.sin(rows / 12 + phase))
        assert phase == 0 or not detects.has_changed(frame)
        detects.keep(frame)


@pytest.mark.parametrize("light", [0.3, 1.9])
def test_a_lamp_that_is_switched_is_a_change(light: float) -> None:
    detects = detector()
    detects.keep(seen(PHOTO, 0))
    assert detects.has_changed(seen(PHOTO, 1, light=light))


def test_another_scene_is_a_change_after_whatever_noise() -> None:
    detects = detector()
    for seed in range(30):
        noisy = seen(PHOTO, seed, noise=40, quality=30)
        detects.has_changed(noisy)
        detects.keep(noisy)
    assert detects.has_changed(seen(synthetic_photo(320, 240, 8), 99, noise=40, quality=30))


def test_what_changes_slowly_adds_up_until_it_is_a_change() -> None:
    detects = detector()
    detects.keep(seen(PHOTO, 0))
    where = next(n for n in range(1, 100) if detects.has_changed(seen(with_object(150, 100, n, 255), n)))
    assert 8 < where < 50


def test_threshold_and_area_decide() -> None:
    grey = np.full((48, 64), 100, dtype=np.uint8)
    brighter = grey.copy()
    brighter[10:20, 10:20] = 130  # 100 of 3072 pixels, 3.3 %
    for threshold, area, has_changed in [(12, 0.02, True), (12, 0.06, False), (29, 0.01, True), (31, 0.01, False)]:
        detects = detector(threshold, area)
        detects.keep(grey)
        assert detects.has_changed(brighter) == has_changed
        assert not detects.has_changed(grey)


def test_without_a_reference_and_with_another_size_everything_is_a_change() -> None:
    detects = detector()
    assert detects.has_changed(np.zeros((48, 64), dtype=np.uint8))
    detects.keep(np.zeros((48, 64), dtype=np.uint8))
    assert detects.has_changed(np.zeros((64, 48), dtype=np.uint8))
    assert not detects.has_changed(np.zeros((48, 64), dtype=np.uint8))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 255), st.integers(0, 255))
def test_tiny_pictures_are_compared_without_a_fault(height: int, width: int, one: int, other: int) -> None:
    detects = detector()
    detects.keep(np.full((height, width), one, dtype=np.uint8))
    assert detects.has_changed(np.full((height, width), other, dtype=np.uint8)) in {True, False}


GRADIENT = np.tile(np.linspace(20, 200, 64), (48, 1))
HALF_WHITE = np.hstack([np.full((48, 40), 255.0), np.tile(np.linspace(40, 200, 24), (48, 1))])
ROWS = np.arange(48)[:, np.newaxis]


def as_grey(picture: np.ndarray) -> GreyPicture:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


@given(st.sampled_from([GRADIENT, HALF_WHITE]), st.floats(0.82, 1.22), st.floats(0.0, 6.3))
def test_light_that_changes_by_a_fifth_is_no_change_also_beside_white(
    scene: np.ndarray, light: float, phase: float
) -> None:
    detects = detector()
    detects.keep(as_grey(scene))
    assert not detects.has_changed(as_grey(scene * light))
    # In bands, as a rolling shutter sees a lamp.
    bands = 1 + (light - 1) * np.sin(ROWS / 6 + phase)
    assert not detects.has_changed(as_grey(scene * bands))


@given(st.floats(0.0, 12.0), st.integers(0, 2**31))
def test_a_noisy_picture_raises_the_threshold_and_a_clear_object_is_still_one(noise: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    detects = detector()

    def noisy(scene: np.ndarray) -> GreyPicture:
        return as_grey(scene + random.normal(0, noise, scene.shape))

    detects.keep(noisy(GRADIENT))
    assert not detects.has_changed(noisy(GRADIENT))
    with_it = GRADIENT.copy()
    with_it[10:20, 10:20] += 60
    assert detects.has_changed(noisy(with_it))


def test_single_pixels_that_flicker_are_no_change() -> None:
    detects = detector()
    detects.keep(as_grey(GRADIENT))
    flickering = GRADIENT.copy()
    flickering[::6, ::6] += 55
    assert not detects.has_changed(as_grey(flickering))


def test_after_much_motion_the_threshold_is_as_before() -> None:
    detects = detector()
    detects.keep(as_grey(GRADIENT))
    assert not detects.has_changed(as_grey(GRADIENT))
    for _ in range(10):
        assert detects.has_changed(as_grey(GRADIENT[:, ::-1]))
    with_it = GRADIENT.copy()
    with_it[10:30, 10:30] += 16
    assert detects.has_changed(as_grey(with_it))
