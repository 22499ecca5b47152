"""Live sources: a webcam that the test plays, frame by frame, and a real stream over HTTP that breaks off."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import cv2
import numpy as np
import pytest

from vp_mqtt.inference.pictures import Picture, encode_jpeg
from vp_mqtt.nodes import sources
from vp_mqtt.nodes.sources import Captured, LiveStream, open_source

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WAIT = 30.0


def filled(value: tuple[int, int, int] | int, width: int = 64, height: int = 48) -> Picture:
    return np.full((height, width, 3), value, dtype=np.uint8)


class Webcam:
    """Stands for OpenCV's capture of a webcam: gives the pictures that the test puts in, and breaks off at None."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.released = 0
        self._pictures: queue.Queue[int | None] = queue.Queue()
        monkeypatch.setattr(cv2, "VideoCapture", self._open)
        self.stream = LiveStream(0)

    def _open(self, _number: int) -> Self:
        self.opened += 1
        return self

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def read(self) -> tuple[bool, Picture | None]:
        value = self._pictures.get(timeout=WAIT)
        return (False, None) if value is None else (True, filled(value))

    def release(self) -> None:
        self.released += 1

    def show(self, *values: int) -> None:
        """Give these pictures, and wait until the stream has the last one."""
        for value in values:
            self.give(value)
        stream = self.stream
        with stream._fresh:
            assert stream._fresh.wait_for(
                lambda: stream._newest is not None and stream._newest.max() == values[-1], WAIT
            )

    def give(self, value: int) -> None:
        self._pictures.put(value)

    def show_later(self, value: int) -> None:
        timer = threading.Timer(0.05, self.give, [value])
        timer.daemon = True
        timer.start()

    def break_off(self) -> None:
        self._pictures.put(None)

    def unplug(self) -> None:
        """Close the stream, and end its thread."""
        self.stream._closed.set()
        self.break_off()
        self.stream.close()
        self.stream._thread.join(WAIT)
        assert not self.stream._thread.is_alive()


@pytest.fixture
def webcam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webcam]:
    monkeypatch.setattr(sources, "backoff", lambda _attempt: 0.0)
    plugged_in = Webcam(monkeypatch)
    yield plugged_in
    plugged_in.unplug()


def value_of(captured: Captured) -> int:
    return int(captured.picture.max())


def test_the_newest_picture_comes_and_those_before_are_dropped(webcam: Webcam) -> None:
    captures = webcam.stream.captures()
    webcam.show(1, 2, 3)
    assert value_of(next(captures)) == 3
    webcam.show(4)
    assert value_of(next(captures)) == 4


def test_a_picture_comes_only_once(webcam: Webcam) -> None:
    captures = webcam.stream.captures()
    webcam.show(1)
    assert value_of(next(captures)) == 1
    webcam.show_later(2)
    assert value_of(next(captures)) == 2


def test_a_webcam_that_breaks_off_is_opened_again(webcam: Webcam) -> None:
    captures = webcam.stream.captures()
    webcam.show(1)
    assert value_of(next(captures)) == 1
    webcam.break_off()
    webcam.show(2)
    assert value_of(next(captures)) == 2
    assert (webcam.opened, webcam.released) == (2, 1)


def test_closing_ends_the_pictures_and_lets_go_of_the_webcam_for_good(webcam: Webcam) -> None:
    ended = threading.Event()

    def play() -> None:
        for _ in webcam.stream.captures():
            pass
        ended.set()

    player = threading.Thread(target=play, daemon=True)
    player.start()
    webcam.unplug()
    assert ended.wait(WAIT)
    assert (webcam.opened, webcam.released) == (1, 1)


def test_closing_while_pictures_come_lets_go_of_the_webcam_too(webcam: Webcam) -> None:
    webcam.show(1)
    webcam.stream._closed.set()
    webcam.give(2)
    webcam.stream._thread.join(WAIT)
    assert (webcam.opened, webcam.released) == (1, 1)


class MjpegServer(ThreadingHTTPServer):
    """Sends one picture over and over, as network cameras do (`multipart/x-mixed-replace`), until it breaks off."""

    daemon_threads = True

    def __init__(self, port: int = 0, colour: tuple[int, int, int] = RED) -> None:
        self.jpeg = encode_jpeg(filled(colour), 90)
        self.broken = threading.Event()
        self.connections = 0
        super().__init__(("127.0.0.1", port), _MjpegHandler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/stream.mjpg"

    def server_close(self) -> None:
        """Break off, and listen no more."""
        self.broken.set()
        self.shutdown()
        super().server_close()
        self._thread.join(WAIT)


class _MjpegHandler(BaseHTTPRequestHandler):
    server: MjpegServer

    def do_GET(self) -> None:
        self.server.connections += 1
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        jpeg = self.server.jpeg
        try:
            while not self.server.broken.wait(0.005):
                header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(header.encode() + jpeg + b"\r\n")
        except OSError:
            pass

    def log_message(self, *_arguments: Any) -> None:
        pass


def has(picture: Picture, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(picture.mean(axis=(0, 1)) - colour).max() < 12)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "backoff", lambda _attempt: 0.02)


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_breaks_off_is_opened_again_when_it_is_back() -> None:
    with MjpegServer(colour=RED) as server:
        port = server.server_port
        stream = open_source(server.url)
        captures = stream.captures()
        captured = next(captures)
        assert has(captured.picture, RED)
        assert captured.picture.shape == (48, 64, 3)
        assert captured.truth is None
    with MjpegServer(port, GREEN) as back:
        assert any(has(captured.picture, GREEN) for captured in captures)
        assert back.connections
    stream.close()
    assert list(captures) == []


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_is_not_there_yet_is_waited_for() -> None:
    with MjpegServer() as server:
        url, port = server.url, server.server_port
    stream = open_source(url)
    with MjpegServer(port, BLUE):
        assert has(next(stream.captures()).picture, BLUE)
        stream.close()
