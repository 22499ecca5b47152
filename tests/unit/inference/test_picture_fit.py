from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.inference.picture_fit import CameraFit, Learned, Look, describe, learned_from, look_at, warning
from vp_mqtt.inference.pictures import Picture, decode, encode_jpeg

CALTECH = learned_from(open_bundle("caltech101").manifest.provenance)
CIFAR = learned_from(open_bundle("cifar10").manifest.provenance)
FASHION = learned_from(open_bundle("fashion-mnist").manifest.provenance)
COLOURED, GREY, DARK = (Look(480, *kind) for kind in ((False, True), (True, False), (False, False)))


def scene(seed: int, brightness: float, colours: float, side: int = 120) -> Picture:
    """Return a scene of blocks, with this mean brightness, and so much difference between the channels, 0..1."""
    rng = np.random.default_rng(seed)
    grey = np.kron(rng.uniform(0.2, 1.8, (6, 8, 1)), np.ones((side // 6, side // 6, 1)))
    tint = np.kron(rng.uniform(-1, 1, (6, 8, 3)), np.ones((side // 6, side // 6, 1)))
    noise = rng.normal(0, 3, (*grey.shape[:2], 3)) if colours else rng.normal(0, 3, grey.shape)
    return np.clip(brightness * grey * (1 + colours * tint) + noise, 0, 255).astype(np.uint8) * np.ones(3, np.uint8)


def through_jpeg(picture: Picture) -> Picture:
    return decode(encode_jpeg(picture, 75))


def misfit(looks: Iterable[Look], learned: Learned) -> str | None:
    fit = CameraFit()
    for look in looks:
        fit.note(look)
    return fit.misfit(learned, 256)


@given(st.integers(0, 1000), st.floats(60, 130))
def test_a_lit_scene_has_colours_or_has_none(seed: int, brightness: float) -> None:
    coloured, grey = (look_at(through_jpeg(scene(seed, brightness, colours)), 120) for colours in (0.6, 0.0))
    assert (coloured.is_coloured, coloured.is_grey) == (True, False)
    assert (grey.is_coloured, grey.is_grey) == (False, True)


@given(st.integers(0, 1000), st.floats(0, 18), st.floats(0, 0.6))
def test_a_dark_scene_tells_nothing(seed: int, brightness: float, colours: float) -> None:
    look = look_at(through_jpeg(scene(seed, brightness, colours)), 120)
    assert not look.is_grey
    assert not look.is_coloured


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_an_even_picture_tells_nothing(blue: int, green: int, red: int) -> None:
    look = look_at(np.full((90, 120, 3), (blue, green, red), dtype=np.uint8), 90)
    assert not look.is_grey
    assert not look.is_coloured


@pytest.mark.parametrize(
    ("looks", "learned", "found"),
    [
        ([COLOURED] * 10, FASHION, "in colour and far larger"),
        ([Look(28, True, False)] * 10, FASHION, None),
        ([COLOURED] * 9, FASHION, None),
        ([COLOURED] * 10, CALTECH, None),
        ([COLOURED] * 10, CIFAR, "far larger"),
        ([GREY] * 10, CALTECH, "grey"),
        ([Look(28, True, False)] * 10, CALTECH, "grey and far smaller"),
        ([Look(32, False, True)] * 10, CALTECH, "far smaller"),
        ([Look(120, False, True)] * 10, CALTECH, None),
        # A dark scene, for however long; and a camera with colours by day that has none at night.
        ([DARK] * 100, CALTECH, None),
        ([COLOURED] + [GREY] * 100, CALTECH, None),
        ([GREY] * 15 + [COLOURED] * 5, Learned(None, 1.0), None),
        # Of photographs of 12 million pixels, it has seen 256 pixels.
        ([Look(256, False, True)] * 10, Learned(3000, 0.1), None),
        ([Look(80, False, True)] * 10, Learned(3000, 0.1), "far smaller"),
        # Nobody knows what it learned from.
        ([COLOURED] * 20, Learned(), None),
        ([COLOURED] * 20, Learned(None, 0.5), None),
        ([GREY] * 20, Learned(None, 0.5), None),
    ],
)
def test_which_pictures_do_not_fit(looks: list[Look], learned: Learned, found: str | None) -> None:
    assert misfit(looks, learned) == found


@given(st.integers(1, 8), st.integers(0, 1000))
def test_of_pictures_of_several_kinds_the_same_is_said_all_the_time(wrong: int, seed: int) -> None:
    # Half of them or more are far larger; of all sizes.
    rng = np.random.default_rng(seed)
    fit, said = CameraFit(), []
    for _ in range(60):
        fit.note(COLOURED)
    for number in range(200):
        side = int(rng.integers(112, 3000)) if number % (wrong + 1) else 28
        fit.note(Look(side, *((False, True) if number % (wrong + 1) else (True, False))))
        said.append(fit.misfit(FASHION, 28))
    assert set(said) == {"in colour and far larger"}


def test_a_misfit_ends_when_the_pictures_fit_again() -> None:
    assert misfit([COLOURED] * 20 + [Look(28, True, False)] * 20, FASHION) is None


@given(st.lists(st.sampled_from([COLOURED, GREY, DARK]), max_size=60))
def test_pictures_of_the_size_learned_from_are_never_both_grey_and_in_colour(looks: list[Look]) -> None:
    grey_family, colour_family = Learned(480, 1.0), Learned(480, 0.0)
    assert None in {misfit(looks, grey_family), misfit(looks, colour_family)}
    assert misfit([DARK] * 30 + looks, colour_family) == misfit(looks, colour_family)


def test_a_look_is_due_once_a_second() -> None:
    fit = CameraFit()
    assert [fit.is_due(now) for now in (0.0, 0.5, 0.99, 1.0, 1.9, 2.1)] == [True, False, False, True, False, True]


def test_the_pictures_of_a_training_are_described_in_its_bundle() -> None:
    assert describe([]) == {}
    scenes = [scene(seed, 100, 0.0 if seed < 2 else 0.6, side=60) for seed in range(10)]
    found = describe(scenes)
    assert found == {"picture_side": 60, "picture_grey": 0.2}
    assert learned_from(found) == Learned(60, 0.2)


def test_the_warning_says_what_to_do() -> None:
    said = warning("cam0", "in colour", "fashion-mnist", FASHION)
    assert said.splitlines() == [said]
    assert "'cam0' are in colour, but 'fashion-mnist' learned from grey pictures about 28 pixels high" in said
    assert "--bundle" in said


@pytest.mark.parametrize("side", [10**4000, -1, math.nan, "60"])
def test_nothing_is_learned_from_a_size_that_no_picture_has(side: float | str) -> None:
    assert learned_from({"picture_side": side, "picture_grey": 0.2}) == Learned()
