"""Near-duplicates: noise, compression and light make none new, motion does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.inference.near_duplicates import HASH_BITS, MAX_DISTANCE, SeenPictures, distance, perceptual_hash
from vp_mqtt.inference.pictures import Picture, decode, encode_jpeg, shrink_grey

HASHES = st.integers(0, 2**HASH_BITS - 1)


def scene(seed: int, left: int = 100, light: float = 1.0, noise: float = 5.0) -> Picture:
    """Return an uneven wall with an object before it."""
    rng = np.random.default_rng(seed)
    wall = cv2.resize(rng.uniform(60, 160, (6, 8, 3)).astype(np.float32), (320, 240), interpolation=cv2.INTER_CUBIC)
    wall[80:180, left : left + 80] = (40, 90, 220)
    picture = wall * light + np.random.default_rng(seed + left).normal(0, noise, wall.shape)
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(10))
def test_the_same_scene_is_a_near_duplicate(seed: int) -> None:
    found = perceptual_hash(scene(seed))
    assert 0 <= found < 2**HASH_BITS
    compressed = decode(encode_jpeg(scene(seed), 60))
    for other in (scene(seed, noise=8), scene(seed, light=1.1), compressed, shrink_grey(scene(seed), 64)):
        assert distance(found, perceptual_hash(other)) <= MAX_DISTANCE


@pytest.mark.parametrize("seed", range(10))
def test_what_moves_or_differs_is_new(seed: int) -> None:
    found = perceptual_hash(scene(seed))
    assert distance(found, perceptual_hash(scene(seed, left=160))) > MAX_DISTANCE
    assert distance(found, perceptual_hash(scene(seed + 100))) > 3 * MAX_DISTANCE


def test_even_surfaces_are_alike_whatever_their_noise() -> None:
    rng = np.random.default_rng(0)
    flat = [np.clip(128 + rng.normal(0, 5, (240, 320, 3)), 0, 255).astype(np.uint8) for _ in range(4)]
    assert {perceptual_hash(one) for one in flat} == {0}


@given(HASHES, HASHES, HASHES)
def test_the_distance_is_a_metric(one: int, other: int, third: int) -> None:
    assert distance(one, one) == 0
    assert 0 <= distance(one, other) == distance(other, one) <= HASH_BITS
    assert distance(one, third) <= distance(one, other) + distance(other, third)


@given(st.lists(HASHES, max_size=20), st.integers(0, 40))
def test_what_is_kept_is_far_apart(hashes: list[int], most: int) -> None:
    seen = SeenPictures(max_distance=most)
    kept = [found for found in hashes if seen.add(found)]
    assert len(seen) == len(kept)
    assert all(distance(a, b) > most for place, a in enumerate(kept) for b in kept[:place])
    assert not any(seen.is_new(found) for found in hashes)
