"""What a live source says while its camera comes and goes."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vp_mqtt.logs import LOGGER
from vp_mqtt.nodes.sources import live
from vp_mqtt.nodes.sources.base import Captured
from vp_mqtt.nodes.sources.feed import Feed, FeedError
from vp_mqtt.nodes.sources.live import LiveStream

PICTURE = Captured(np.zeros((4, 4, 3), np.uint8))
WAIT = 20.0
BROKEN = "no pictures from door: {}; trying until there are"


class Script(Feed):
    """Does what the test says: opens or not, gives a picture, breaks."""

    def __init__(self) -> None:
        self.steps: queue.Queue[str | Exception | Captured | None] = queue.Queue()
        self.is_off: str | None = None
        self.attempts = 0
        self.tried: queue.Queue[int] = queue.Queue()

    def open(self) -> None:
        self.attempts += 1
        self.tried.put(self.attempts)
        if self.is_off is not None:
            raise FeedError(self.is_off)

    def read(self) -> Captured | None:
        step = self.steps.get(timeout=WAIT)
        if isinstance(step, str):
            raise FeedError(step)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        pass


class Door:
    """A live source that plays a script, what it says in the log, and the problems that it reports."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self.script = Script()
        self._log = log
        self.problems: queue.Queue[str | None] = queue.Queue()
        self.stream = LiveStream("door", self.script, on_problem=self.problems.put)

    @property
    def said(self) -> list[str]:
        return self._log.messages

    def problem(self) -> str | None:
        return self.problems.get(timeout=WAIT)

    def give(self, *steps: str | Exception | Captured | None) -> None:
        for step in steps:
            self.script.steps.put(step)

    def attempt(self, times: int) -> None:
        for _ in range(times):
            self.script.tried.get(timeout=WAIT)


@pytest.fixture
def door(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(live, "backoff", lambda _attempt: 0.001)
    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        door = Door(caplog)
        yield door
        door.stream._closed.set()
        door.give(None)
        door.stream.close()


def test_a_camera_that_is_off_is_one_line_with_the_reason_and_one_when_it_is_back(door: Door) -> None:
    door.stream.open()
    assert door.problem() == "no picture yet"
    door.give(PICTURE)
    assert door.problem() is None
    assert door.said == []
    door.script.is_off = "Connection refused"
    door.give("it ended")
    assert [door.problem(), door.problem()] == ["it ended", "Connection refused"]
    door.attempt(20)
    door.script.is_off = None
    door.give(PICTURE)
    assert door.problem() is None
    assert door.said == [BROKEN.format("it ended"), BROKEN.format("Connection refused"), "pictures from door are back"]
    assert door.stream.problem is None


def test_a_camera_that_is_not_there_yet(door: Door) -> None:
    door.script.is_off = "401 Unauthorized"
    door.stream.open()
    assert [door.problem(), door.problem()] == ["no picture yet", "401 Unauthorized"]
    door.attempt(10)
    door.script.is_off = None
    door.give(PICTURE)
    assert door.problem() is None
    assert door.said == [BROKEN.format("401 Unauthorized"), "pictures from door are there"]


def test_a_feed_that_fails_unexpectedly_is_opened_again(door: Door) -> None:
    door.stream.open()
    assert door.problem() == "no picture yet"
    door.give(IndexError("out of range"), PICTURE)
    assert [door.problem(), door.problem()] == ["unexpected IndexError: out of range", None]
    assert door.said == [BROKEN.format("unexpected IndexError: out of range"), "pictures from door are there"]


def test_one_that_comes_and_goes_does_not_fill_the_log(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.stream.open()
    assert door.problem() == "no picture yet"
    for _ in range(30):
        door.give(PICTURE, "it ended")
        assert [door.problem(), door.problem()] == [None, "it ended"]
    assert door.said == [BROKEN.format("it ended"), "pictures from door are back"]
    monkeypatch.setattr(live, "_LOG_INTERVAL_S", 0)
    door.give(PICTURE, "it ended", PICTURE)
    assert [door.problem() for _ in range(3)] == [None, "it ended", None]
    assert len(door.said) == 4


def test_one_that_breaks_soon_each_time_is_opened_at_growing_intervals(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def noted(attempt: int) -> float:
        attempts.append(attempt)
        return 0.001

    monkeypatch.setattr(live, "backoff", noted)
    door.stream.open()
    for _ in range(4):
        door.give(PICTURE, "it ended")
    door.attempt(5)
    assert attempts[:4] == [0, 1, 2, 3]
    monkeypatch.setattr(live, "_LASTING_S", -1)
    door.give(PICTURE, "it ended")
    door.attempt(1)
    assert attempts[4:] == [0]


def test_data_without_a_picture_is_no_picture(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_PICTURE_WITHIN_S", -1)
    door.stream.open()
    door.give(None)
    assert [door.problem(), door.problem()] == ["no picture yet", "no whole picture for -1 s"]


def test_what_a_server_says_cannot_spoil_the_log(door: Door) -> None:
    door.script.is_off = "rtsp://admin:Geheim@cam/x says \x1b[2J" + "x" * 1000
    door.stream.open()
    door.attempt(3)
    (line,) = door.said
    assert line.startswith("no pictures from door: rtsp://***@cam/*** says ?[2Jxxx")
    assert len(line) < 300


def test_a_stream_that_hangs_is_noticed(door: Door) -> None:
    door.stream.open()
    door.attempt(1)
    assert door.stream.is_stuck(-1)
    assert not door.stream.is_stuck(60)


def test_a_missing_webcam_is_refused_at_once(door: Door) -> None:
    door.script.is_off = "none"
    missing: Any = LiveStream("webcam 7", door.script, open_error="there is no webcam 7")
    with pytest.raises(Exception, match="there is no webcam 7"):
        missing.open()
