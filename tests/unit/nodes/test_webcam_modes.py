"""Which size a webcam is asked for."""

from __future__ import annotations

import fcntl
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.nodes.sources import webcam_modes
from vp_mqtt.nodes.sources.capture_feed import WebcamFeed
from vp_mqtt.nodes.sources.webcam_modes import ModeChoice, smallest_mode

USUAL = (640, 480)
MODES = [(1280, 720), (640, 480), (640, 360), (160, 120), (320, 240), (352, 288), (1280, 960)]
LENGTHS = st.integers(1, 4000)


@pytest.mark.parametrize(
    ("side", "expected"), [(96, (160, 120)), (256, (352, 288)), (300, (640, 480)), (481, (1280, 960)), (961, None)]
)
def test_the_smallest_size_of_the_usual_shape_that_is_enough(side: int, expected: tuple[int, int] | None) -> None:
    assert smallest_mode(MODES, USUAL, side) == expected


@given(st.lists(st.tuples(LENGTHS, LENGTHS)), st.tuples(LENGTHS, LENGTHS), LENGTHS)
def test_no_size_is_too_small(modes: list[tuple[int, int]], usual: tuple[int, int], side: int) -> None:
    found = smallest_mode(modes, usual, side)
    assert found is None or (found in modes and min(found) >= side)


class Need:
    side: int | None = None


@pytest.fixture
def need(monkeypatch: pytest.MonkeyPatch) -> Need:
    monkeypatch.setattr(webcam_modes, "webcam_modes", lambda _: MODES)
    return Need()


def test_a_larger_size_is_due_at_once_and_a_smaller_one_when_it_was_enough_for_a_while(need: Need) -> None:
    choice = ModeChoice(0, lambda: need.side)
    assert choice.choose(USUAL) is None
    assert not choice.is_another_due(0.0)
    need.side = 256
    assert [choice.is_another_due(now) for now in (0.0, 9.0, 10.0)] == [False, False, True]
    assert choice.choose(USUAL) == (352, 288)
    need.side = 300
    assert choice.is_another_due(11.0)
    assert choice.choose(USUAL) is None
    need.side = 256
    assert not choice.is_another_due(12.0)
    need.side = 300
    assert not choice.is_another_due(21.0)
    need.side = 256
    assert not choice.is_another_due(23.0)


class Capture:
    """Stands for OpenCV's capture of a webcam."""

    opened: list[dict[int, float]]

    def __init__(self, _number: int) -> None:
        self.asked: dict[int, float] = {}
        self.opened.append(self.asked)

    def getBackendName(self) -> str:  # noqa: N802 (OpenCV's name)
        return "V4L2"

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def get(self, name: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}[name]

    def set(self, name: int, value: float) -> bool:
        self.asked[name] = value
        return True

    def read(self) -> tuple[bool, np.ndarray]:
        return True, cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].reshape(1, -1)

    def release(self) -> None: ...


def test_a_webcam_is_opened_again_for_another_size_and_its_jpegs_pass(
    need: Need, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "opened", [], raising=False)
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(webcam_modes, "_SMALLER_AFTER_S", 0.0)
    feed = WebcamFeed(0, None, lambda _: None, lambda: need.side)
    feed.open()
    feed.read()
    need.side = 256
    captured = feed.read()
    assert captured is not None
    assert captured.jpeg is not None
    usual, smaller = Capture.opened
    assert cv2.CAP_PROP_FRAME_WIDTH not in usual
    assert (smaller[cv2.CAP_PROP_FRAME_WIDTH], smaller[cv2.CAP_PROP_FRAME_HEIGHT]) == (352, 288)


def test_the_sizes_of_a_webcam_are_those_that_linux_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(640, 480), (320, 240)]

    def ioctl(_file: object, request: int, asked: bytes) -> bytes:
        # As <linux/videodev2.h> and <asm-generic/ioctl.h> have it: read and write, 44 bytes, type V, number 74.
        assert request == (3 << 30) | (44 << 16) | (ord("V") << 8) | 74
        assert len(asked) == 44
        index, pixel_format = struct.unpack_from("=II", asked)
        assert pixel_format == cv2.VideoWriter.fourcc(*"MJPG")
        if index >= len(sizes):
            raise OSError
        return struct.pack("=III6I2I", index, pixel_format, 1, *sizes[index], *(0,) * 6)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(webcam_modes, "_DEVICE", "/dev/null{}")
    assert webcam_modes.webcam_modes(0) == []
    monkeypatch.setattr(webcam_modes, "_DEVICE", "/dev/null")
    assert webcam_modes.webcam_modes(0) == sizes
