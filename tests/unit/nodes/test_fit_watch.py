from __future__ import annotations

import numpy as np
import pytest

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.inference.pictures import Picture, encode_jpeg
from vp_mqtt.nodes.fit_watch import FitWatch

FASHION = open_bundle("fashion-mnist").manifest
CALTECH = open_bundle("caltech101").manifest


def picture(*, has_colours: bool) -> Picture:
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(40, 220, (6, 8, 3 if has_colours else 1)), np.ones((40, 40, 1)))
    return (blocks * np.ones(3)).astype(np.uint8)


COLOURED, GREY = picture(has_colours=True), picture(has_colours=False)


class Watched:
    def __init__(self) -> None:
        self.problems: list[tuple[str, str | None]] = []
        self.watch = FitWatch(lambda kind, problem: self.problems.append((kind, problem)))
        self.now = 0.0

    def frames(self, shown: Picture, count: int, *, camera: str = "cam0", manifest: object = FASHION) -> None:
        jpeg = encode_jpeg(shown, 90)
        for _ in range(count):
            # As the board decodes it: reduced.
            self.watch.look(camera, shown[::2, ::2], jpeg, manifest, self.now)  # type: ignore[arg-type]
            self.now += 0.1


def test_a_webcam_before_a_family_for_grey_clothes_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.frames(COLOURED, 80)
    assert watched.problems == []
    watched.frames(COLOURED, 400)
    ((kind, problem),) = watched.problems
    assert kind == "pictures cam0"
    assert problem is not None
    assert "'cam0' are in colour and far larger, but 'fashion-mnist' learned from grey" in problem
    assert [record.getMessage() for record in caplog.records] == [problem]


def test_pictures_of_many_sizes_are_warned_of_once() -> None:
    watched = Watched()
    for size in (240, 120, 200, 160, 240, 24) * 20:
        watched.frames(COLOURED[:size], 11)
    assert len(watched.problems) == 1


def test_the_warning_ends_with_a_family_that_fits() -> None:
    watched = Watched()
    watched.frames(COLOURED, 200)
    watched.frames(COLOURED, 20, manifest=CALTECH)
    assert watched.problems[1:] == [("pictures cam0", None)]


def test_each_camera_is_looked_at_for_itself_and_so_many_are() -> None:
    watched = Watched()
    for number in range(40):
        watched.now = 0.0
        watched.frames(GREY, 200, camera=f"c{number}", manifest=CALTECH)
    assert len(watched.problems) == 16
    watched.frames(COLOURED, 200, camera="c0", manifest=CALTECH)
    assert watched.problems[16:] == [("pictures c0", None)]


def test_a_dark_scene_is_not_warned_of() -> None:
    watched = Watched()
    watched.frames((COLOURED * 0.05).astype(np.uint8), 500, manifest=CALTECH)
    watched.frames(np.zeros((240, 320, 3), np.uint8), 500, manifest=CALTECH)
    assert watched.problems == []


def test_the_warning_ends_when_the_camera_is_gone_and_its_place_is_free() -> None:
    watched = Watched()
    for number in range(16):
        watched.now = 0.0
        watched.frames(COLOURED, 200, camera=f"c{number}")
    ends = watched.now + 601.0
    while watched.now < ends:
        # Those whose frames come slowly stay.
        watched.frames(COLOURED, 1, camera="c0")
        watched.now += 100.0
        watched.watch.forget_gone(watched.now)
    over = [(kind, problem) for kind, problem in watched.problems if problem is None]
    assert over == [(f"pictures c{number}", None) for number in range(1, 16)]
    watched.frames(COLOURED, 200, camera="new")
    assert watched.problems[-1][0] == "pictures new"
    watched.frames(COLOURED, 200, camera="c1")
    assert watched.problems[-1][0] == "pictures c1"
    assert watched.problems[-1][1] is not None


def test_nothing_is_said_of_pictures_that_are_not_voted_on_any_more() -> None:
    watched = Watched()
    watched.frames(COLOURED, 200)
    watched.watch.clear()
    assert watched.problems[1:] == [("pictures cam0", None)]
    watched.frames(COLOURED, 200)
    assert watched.problems[2:] == watched.problems[:1]
