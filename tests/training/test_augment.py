"""Views: what training sees of a picture, beside what a device sees."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.inference.pictures import prepare, resize_square
from vp_mqtt.training.augment import ViewRecipe, draw_views
from vp_mqtt.training.device_inputs import to_input


def test_training_and_device_see_the_same_pixels() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((28, 28), (300, 200), (64, 64)):
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for resolution in (40, 64):
            device = prepare(picture, resolution, Preprocessing())
            training_input = to_input(torch.from_numpy(resize_square(picture, resolution)[np.newaxis])).numpy()
            np.testing.assert_allclose(device, training_input, atol=1e-6)


def test_views_without_augmentation_are_the_device_s_picture() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
    plain = ViewRecipe(flip=0, rotation=0, zoom=0, margin=0, jpeg=0, erase=0)
    # The margin is at least one pixel: undo it by looking at what the crop was taken from.
    (view,) = draw_views(picture, [40], plain, rng)
    larger = resize_square(picture, 41).astype(int)
    corners = [larger[y : y + 40, x : x + 40] for y in (0, 1) for x in (0, 1)]
    lowest, highest = np.min(corners, axis=0), np.max(corners, axis=0)
    assert ((view >= lowest - 1) & (view <= highest + 1)).all()


def test_views_differ_between_variants_and_are_seeded() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    first = draw_views(picture, [40, 40, 64], ViewRecipe(), np.random.default_rng(5))
    again = draw_views(picture, [40, 40, 64], ViewRecipe(), np.random.default_rng(5))
    assert [view.shape for view in first] == [(40, 40, 3), (40, 40, 3), (64, 64, 3)]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] != first[1]).any()


def test_a_shared_view_is_one_of_all_resolutions() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    picture = np.asarray(cv2.GaussianBlur(noise, (0, 0), 6), dtype=np.uint8)
    recipe = ViewRecipe(shared=True, area=0.5, colour=0.3, rotation=20, erase=1)
    for seed in range(20):
        one, same, larger = draw_views(picture, [64, 64, 128], recipe, np.random.default_rng(seed))
        np.testing.assert_array_equal(one, same)
        difference = resize_square(larger, 64).astype(int) - one
        # Not at the edges of an erased rectangle, which pixels round.
        assert np.quantile(np.abs(difference), 0.9) <= 6, seed
    others = draw_views(picture, [64], recipe, np.random.default_rng(20))
    assert (others[0] != one).any()
