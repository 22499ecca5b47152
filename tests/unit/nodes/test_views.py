from __future__ import annotations

import numpy as np
import pytest

from vp_mqtt.config.regions import Rectangle
from vp_mqtt.nodes.views import View

# 1 2 3
# 4 5 6
PICTURE = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)


@pytest.mark.parametrize(
    ("view", "seen"),
    [
        (View(), [[1, 2, 3], [4, 5, 6]]),
        (View(rotate=90), [[4, 1], [5, 2], [6, 3]]),
        (View(rotate=180), [[6, 5, 4], [3, 2, 1]]),
        (View(rotate=270), [[3, 6], [2, 5], [1, 4]]),
        (View(mirror=True), [[3, 2, 1], [6, 5, 4]]),
        (View(rotate=90, mirror=True), [[1, 4], [2, 5], [3, 6]]),
        (View(Rectangle(0, 0, 0.67, 0.5)), [[1, 2]]),
        # Where the region lies in the picture as it is published.
        (View(Rectangle(0, 0, 0.5, 0.67), rotate=90), [[4], [5]]),
        (View(Rectangle(0, 0, 0.34, 1), mirror=True), [[3], [6]]),
    ],
)
def test_a_picture_is_turned_then_mirrored_then_cut(view: View, seen: list[list[int]]) -> None:
    assert view.of(PICTURE).tolist() == seen
    colour = np.repeat(PICTURE[:, :, np.newaxis], 3, axis=2)
    cut = view.of(colour)
    assert cut.shape[2] == 3
    assert cut[:, :, 1].tolist() == seen
    assert cut.flags.c_contiguous


def test_the_whole_picture_as_it_is_is_not_copied() -> None:
    assert View().is_all
    assert View().of(PICTURE) is PICTURE
    assert not View(mirror=True).is_all


def test_a_small_part_needs_a_larger_picture() -> None:
    assert View(Rectangle(0, 0, 0.5, 0.25)).reduced_side(48) == 192
