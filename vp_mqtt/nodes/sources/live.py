"""Webcams and network streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.inference.jpeg import Jpeg, begins_as_jpeg
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.retries import backoff
from vp_mqtt.nodes.sources.base import Captured, Source

_OPEN_TIMEOUT_MS = 5000
_NEW_FRAME_S = 1.0
_MAX_WEBCAM = 2**31 - 1
_MOTION_JPEG = cv2.VideoWriter.fourcc(*"MJPG")
_MAX_BROKEN = 10
_CLOSE_TIMEOUT_S = 0.5


def jpeg_of(frame: NDArray[np.uint8]) -> bytes | None:
    """Return the JPEG in a webcam's raw frame, without the zeros after it; None if there is none.

    Args:
        frame: shape (1, bytes), uint8, for a JPEG, whole or broken; any other shape is something else.
    """
    if frame.ndim > 2 or frame.size != frame.shape[-1]:  # noqa: PLR2004 (rows and columns)
        return None
    data = frame.tobytes()
    return data.rstrip(b"\0") if begins_as_jpeg(data) else None


class LiveStream(Source):
    """A webcam or a network stream: always its newest picture; one that breaks off is opened again."""

    is_live = True

    def __init__(
        self,
        address: int | str,
        *,
        size: tuple[int, int] | None = None,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Name the stream.

        Args:
            address: a webcam's number or a stream's address.
            size: width and height to ask a webcam for, in pixels; it may deliver others.
            on_refused: called with the reason for every picture that is skipped, in the stream's own thread.
        """
        self._address = address
        self._size = size
        self._on_refused = on_refused
        self._asks_for_jpeg = isinstance(address, int)
        self._is_raw = False
        self._broken = 0
        self._closed = threading.Event()
        self._fresh = threading.Condition()
        self._newest: Captured | None = None
        self._read_since = time.monotonic()
        self._thread: threading.Thread | None = None
        self.pictures_seen = 0

    def open(self) -> None:
        """Open the stream, and read it in a thread of its own.

        Raises:
            UserError: there is no such webcam. (A stream may come up later.)
        """
        capture = self._capture()
        if capture is None and isinstance(self._address, int):
            raise UserError(f"--source {self._address}: no webcam with this number; try another, or check its cable")
        if capture is None:
            LOGGER.warning("stream %s cannot be opened; trying until it is there", self._address)
        self._thread = threading.Thread(target=self._grab, args=(capture,), name="grabber", daemon=True)
        self._thread.start()

    def _capture(self) -> cv2.VideoCapture | None:
        if isinstance(self._address, int):
            capture = cv2.VideoCapture(min(self._address, _MAX_WEBCAM))
            self._is_raw = self._asks_for_jpeg and _request_jpeg(capture)
            if self._size is not None:
                for what, pixels in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), self._size, strict=True):
                    capture.set(what, pixels)
        else:
            timeouts = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                _OPEN_TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                _OPEN_TIMEOUT_MS,
            ]
            capture = cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, timeouts)
        if capture.isOpened():
            return capture
        capture.release()
        return None

    def _grab(self, capture: cv2.VideoCapture | None) -> None:
        attempt = 0
        while not self._closed.is_set():
            self._read_since = time.monotonic()
            done, picture = capture.read() if capture is not None else (False, None)
            if done and picture is not None:
                attempt = 0
                self._keep(np.asarray(picture, dtype=np.uint8))
                if capture is not None and self._is_raw and not self._asks_for_jpeg:
                    LOGGER.info("webcam %s delivers no usable JPEG; its pictures are decoded here", self._address)
                    capture.release()
                    capture = self._capture()
                continue
            if capture is not None:
                capture.release()
                if attempt == 0:
                    LOGGER.warning("stream %s broke off; opening it again", self._address)
            if self._closed.wait(backoff(attempt)):
                return
            attempt += 1
            capture = self._capture()
        if capture is not None:
            capture.release()

    def _keep(self, frame: NDArray[np.uint8]) -> None:
        """Keep a frame as the newest picture; stop asking for JPEG if the webcam delivers something else."""
        captured = Captured(frame)
        if self._is_raw:
            data = jpeg_of(frame)
            if data is None and self.pictures_seen == 0:
                self._asks_for_jpeg = False
                return
            jpeg = Jpeg.parse(data) if data is not None else None
            if jpeg is None:
                # A webcam's first frames, and some of those on a bad cable, are often broken: no reason to give up.
                self._broken += 1
                self._asks_for_jpeg = self._broken < _MAX_BROKEN
                self._on_refused("broken JPEG")
                return
            self._broken = 0
            captured = Captured(jpeg=jpeg)
        self.pictures_seen += 1
        with self._fresh:
            self._newest = captured
            self._fresh.notify()

    def captures(self) -> Iterator[Captured]:
        """Yield the newest picture, each once, until the source is closed."""
        while not self._closed.is_set():
            with self._fresh:
                if self._newest is None:
                    self._fresh.wait(_NEW_FRAME_S)
                captured, self._newest = self._newest, None
            if captured is not None:
                yield captured

    def is_stuck(self, patience: float) -> bool:
        """Return whether a read or an attempt to open has been hanging for more than so many seconds."""
        return time.monotonic() - self._read_since > patience

    def close(self) -> None:
        """End the stream; a read that hangs is left to the daemon thread."""
        self._closed.set()
        with self._fresh:
            self._fresh.notify_all()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT_S)


def _request_jpeg(capture: cv2.VideoCapture) -> bool:
    """Ask a webcam for motion JPEG, and OpenCV to pass it on unchanged; return whether both accept."""
    return bool(
        capture.isOpened()
        and capture.getBackendName() == "V4L2"
        and capture.set(cv2.CAP_PROP_FOURCC, _MOTION_JPEG)
        and capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    )
