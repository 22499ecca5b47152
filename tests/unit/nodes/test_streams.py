"""Live sources: webcams that the test plays, frame by frame, and a real stream over HTTP that breaks off."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import cv2
import numpy as np
import pytest

from vp_mqtt.inference.jpeg import Jpeg
from vp_mqtt.inference.pictures import Picture, PictureError, encode_jpeg
from vp_mqtt.nodes.sources import Captured, LiveStream, live, open_source
from vp_mqtt.nodes.sources.capture_feed import WebcamFeed, jpeg_of

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WAIT = 30.0

JPEG = encode_jpeg(np.full((48, 64, 3), 90, dtype=np.uint8), 90)


def filled(value: tuple[int, int, int] | int, width: int = 64, height: int = 48) -> Picture:
    return np.full((height, width, 3), value, dtype=np.uint8)


class Webcam:
    """Stands for OpenCV's capture of a webcam: gives the pictures that the test puts in, and breaks off at None.

    Args:
        monkeypatch: puts it in OpenCV's place.
        backend: the interface to webcams that OpenCV says it uses.
        takes: properties that can be set.
        size: that it is asked for.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        backend: str = "MSMF",
        takes: tuple[int, ...] = (),
        size: tuple[int, int] | None = None,
    ) -> None:
        self.opened = self.released = 0
        self.is_set: dict[int, float] = {}
        self.refused: list[str] = []
        self._backend = backend
        self._takes = takes
        self._pictures: queue.Queue[int | Picture | None] = queue.Queue()
        monkeypatch.setattr(cv2, "VideoCapture", self._open)
        self.stream = LiveStream("webcam 0", WebcamFeed(0, size, self.refused.append), open_error="none")
        self.stream.open()

    def _open(self, _number: int) -> Self:
        self.opened += 1
        self.is_set = {}
        return self

    def getBackendName(self) -> str:  # noqa: N802 (OpenCV's name)
        return self._backend

    def set(self, name: int, value: float) -> bool:
        self.is_set[name] = value
        return name in self._takes

    def get(self, _name: int) -> float:
        return 0.0

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def read(self) -> tuple[bool, Picture | None]:
        value = self._pictures.get(timeout=WAIT)
        return (False, None) if value is None else (True, filled(value) if isinstance(value, int) else value)

    def release(self) -> None:
        self.released += 1

    def show(self, *values: int) -> None:
        """Give these pictures, and wait until the stream has the last one."""
        for value in values:
            self.give(value)
        stream = self.stream
        with stream._fresh:
            assert stream._fresh.wait_for(
                lambda: stream._newest is not None and stream._newest.picture.max() == values[-1], WAIT
            )

    @property
    def grabber(self) -> threading.Thread:
        assert self.stream._thread is not None
        return self.stream._thread

    def give(self, value: int | Picture) -> None:
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
        self.grabber.join(WAIT)
        assert not self.grabber.is_alive()


@pytest.fixture
def webcam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webcam]:
    monkeypatch.setattr(live, "backoff", lambda _attempt: 0.0)
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


def test_a_webcam_is_asked_for_the_size_each_time_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "backoff", lambda _attempt: 0.0)
    webcam = Webcam(monkeypatch, size=(320, 240))
    asked = {cv2.CAP_PROP_FRAME_WIDTH: 320, cv2.CAP_PROP_FRAME_HEIGHT: 240}
    assert asked.items() <= webcam.is_set.items()
    webcam.break_off()
    webcam.show(1)
    assert webcam.opened == 2
    assert asked.items() <= webcam.is_set.items()
    webcam.unplug()


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
    webcam.grabber.join(WAIT)
    assert (webcam.opened, webcam.released) == (1, 1)


# Webcams that give JPEG


def row(data: bytes) -> Picture:
    """Return bytes as OpenCV gives a frame that it leaves as it is."""
    return np.frombuffer(data, dtype=np.uint8).reshape(1, -1)


def test_a_webcams_jpeg_is_told_from_what_is_none() -> None:
    assert jpeg_of(row(JPEG)) == JPEG
    assert jpeg_of(row(JPEG + bytes(300))) == JPEG
    assert jpeg_of(row(JPEG)[0]) == JPEG
    assert jpeg_of(row(JPEG[:200])) == JPEG[:200].rstrip(b"\0"), "broken, but JPEG"
    for rubbish in (b"", b"\xff", b"YUYV" * 100, bytes(100), JPEG[1:]):
        assert jpeg_of(row(rubbish)) is None
    for shape in ((48, 64, 3), (48, 64, 2), (48, 64), (1, 64, 3)):
        picture = np.zeros(shape, dtype=np.uint8)
        picture.flat[:2] = 0xFF, 0xD8
        assert jpeg_of(picture) is None


@pytest.fixture
def jpeg_webcam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webcam]:
    monkeypatch.setattr(live, "backoff", lambda _attempt: 0.0)
    plugged_in = Webcam(monkeypatch, "V4L2", (cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_CONVERT_RGB))
    yield plugged_in
    plugged_in.unplug()


def test_a_webcam_is_asked_for_jpeg_and_gives_it_as_it_is(jpeg_webcam: Webcam) -> None:
    assert jpeg_webcam.is_set == {
        cv2.CAP_PROP_FOURCC: int.from_bytes(b"MJPG", "little"),
        cv2.CAP_PROP_CONVERT_RGB: 0,
    }
    jpeg_webcam.give(row(JPEG + bytes(5)))
    captured = next(jpeg_webcam.stream.captures())
    assert captured.jpeg == Jpeg.parse(JPEG)
    assert captured.decoded is None
    assert captured.picture.shape == (48, 64, 3)
    assert captured.picture is captured.picture, "decoded once"
    assert jpeg_webcam.opened == 1


def test_a_webcam_that_breaks_off_is_asked_for_jpeg_again(jpeg_webcam: Webcam) -> None:
    captures = jpeg_webcam.stream.captures()
    for opened in (1, 2):
        jpeg_webcam.give(row(JPEG))
        assert next(captures).jpeg == Jpeg.parse(JPEG)
        assert (jpeg_webcam.opened, len(jpeg_webcam.is_set)) == (opened, 2)
        jpeg_webcam.break_off()


@pytest.mark.parametrize("first", [filled(5), np.zeros((48, 64, 2), np.uint8), row(b"rubbish")])
def test_a_webcam_that_gives_something_else_is_opened_again_without_asking(first: Picture, jpeg_webcam: Webcam) -> None:
    jpeg_webcam.give(first)
    jpeg_webcam.give(7)
    captured = next(jpeg_webcam.stream.captures())
    assert captured.jpeg is None
    assert value_of(captured) == 7
    assert (jpeg_webcam.opened, jpeg_webcam.released, jpeg_webcam.is_set) == (2, 1, {})
    assert jpeg_webcam.refused == []


def test_a_broken_jpeg_of_a_webcam_is_counted_and_left_out(jpeg_webcam: Webcam) -> None:
    captures = jpeg_webcam.stream.captures()
    broken = [JPEG[:-1], JPEG[:-2] + b"\xff\xd8", JPEG[:8] + b"\xff\xd9", JPEG[:2]]
    for number in range(8):
        jpeg_webcam.give(row(broken[number % 4]))
    jpeg_webcam.give(row(JPEG))
    assert next(captures).jpeg == Jpeg.parse(JPEG)
    # Once a whole one has come, rubbish is a broken one, too.
    for frame in (b"rubbish", JPEG):
        jpeg_webcam.give(row(frame))
    assert next(captures).jpeg == Jpeg.parse(JPEG)
    assert jpeg_webcam.refused == ["broken JPEG"] * 9
    assert jpeg_webcam.opened == 1


def test_a_webcam_that_gives_nothing_but_broken_jpegs_is_opened_again_without_asking(jpeg_webcam: Webcam) -> None:
    for _ in range(10):
        jpeg_webcam.give(row(JPEG[:-2]))
    jpeg_webcam.give(7)
    assert value_of(next(jpeg_webcam.stream.captures())) == 7
    assert jpeg_webcam.refused == ["broken JPEG"] * 10
    assert (jpeg_webcam.opened, jpeg_webcam.released) == (2, 1)


@pytest.mark.parametrize(
    ("backend", "takes"),
    [("MSMF", (cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_CONVERT_RGB)), ("V4L2", ()), ("V4L2", (cv2.CAP_PROP_FOURCC,))],
)
def test_a_webcam_that_cannot_be_asked_for_jpeg_is_decoded(
    backend: str, takes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    webcam = Webcam(monkeypatch, backend, takes)
    webcam.show(3)
    captured = next(webcam.stream.captures())
    assert captured.jpeg is None
    assert value_of(captured) == 3
    assert webcam.opened == 1
    webcam.unplug()


def test_a_jpeg_that_is_damaged_inside_is_a_picture_error_when_it_is_decoded() -> None:
    head = JPEG.index(b"\xff\xda")
    damaged = Captured(jpeg=Jpeg.parse(JPEG[:head] + b"\xff\xd9"))
    with pytest.raises(PictureError):
        _ = damaged.picture


# Streams over the network


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
    monkeypatch.setattr(live, "backoff", lambda _attempt: 0.02)


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
