"""Webcams and streams that OpenCV reads."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.inference.jpeg import Jpeg, begins_as_jpeg
from vp_mqtt.logs import LOGGER
from vp_mqtt.nodes.native_output import NATIVE_OUTPUT
from vp_mqtt.nodes.sources.base import Captured
from vp_mqtt.nodes.sources.feed import SILENCE_S, Feed, FeedError
from vp_mqtt.nodes.sources.webcam_modes import ModeChoice

_TIMEOUT_MS = int(SILENCE_S * 1000)
_MAX_WEBCAM = 2**31 - 1
_MOTION_JPEG = cv2.VideoWriter.fourcc(*"MJPG")
_MAX_BROKEN = 10
# FFmpeg's lines are "[rtsp @ 0x55d0c0de] method DESCRIBE failed: 401 Unauthorized".
_FFMPEG_LINE = re.compile(r"\[[^\]@]+ @ 0x[0-9a-f]+\] (?:.*failed: )?(.+)")


def jpeg_of(frame: NDArray[np.uint8]) -> bytes | None:
    """Return the JPEG in a webcam's raw frame, without the zeros after it; None if there is none.

    Args:
        frame: shape (1, bytes), uint8, for a JPEG, whole or broken; any other shape is something else.
    """
    if frame.ndim > 2 or frame.size != frame.shape[-1]:  # noqa: PLR2004 (rows and columns)
        return None
    data = frame.tobytes()
    return data.rstrip(b"\0") if begins_as_jpeg(data) else None


class StreamFeed(Feed):
    """A network stream that FFmpeg decodes."""

    def __init__(self, address: str) -> None:
        """Name the stream.

        Args:
            address: of any scheme that FFmpeg knows.
        """
        self._address = address
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        """Connect.

        Raises:
            FeedError: that is not possible, for now at least.
        """
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
        started = time.monotonic()
        capture = cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            capture.release()
            raise FeedError(_reason(started, "it cannot be opened"))
        self._capture = capture

    def read(self) -> Captured | None:
        """Wait for the next picture.

        Raises:
            FeedError: it broke off.
        """
        started = time.monotonic()
        done, picture = self._capture.read() if self._capture is not None else (False, None)
        if not done or picture is None:
            raise FeedError(_reason(started, "it ended"))
        return Captured(np.asarray(picture, dtype=np.uint8))

    def close(self) -> None:
        """Disconnect."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


class WebcamFeed(Feed):
    """A webcam, asked for motion JPEG, which is passed on as it is; OpenCV decodes whatever else it delivers."""

    def __init__(
        self,
        number: int,
        size: tuple[int, int] | None,
        on_refused: Callable[[str], None],
        needed_side: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Name the webcam.

        Args:
            number: the operating system's, from 0.
            size: width and height to ask it for, in pixels; it may deliver others.
            on_refused: called with the reason for every picture that is skipped.
            needed_side: returns how long the shorter side of its pictures has to be, in pixels, where no size is
                given; None for that of the size that it prefers.
        """
        self._mode = ModeChoice(number, needed_side) if size is None else None
        self._number = number
        self._size = size
        self._on_refused = on_refused
        self._capture: cv2.VideoCapture | None = None
        self._asks_for_jpeg = True
        self._is_raw = False
        self._has_whole = False
        self._broken = 0

    def open(self) -> None:
        """Open the webcam.

        Raises:
            FeedError: there is none with this number, or it is in use.
        """
        capture = cv2.VideoCapture(min(self._number, _MAX_WEBCAM))
        self._is_raw = self._asks_for_jpeg and _request_jpeg(capture)
        size = self._size
        if self._mode is not None and self._is_raw:
            usual = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
            size = self._mode.choose(usual)
        if size is not None:
            for what, pixels in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), size, strict=True):
                capture.set(what, pixels)
        if not capture.isOpened():
            capture.release()
            raise FeedError("it cannot be opened; is it plugged in, and not in use by another program?")
        self._capture = capture

    def read(self) -> Captured | None:
        """Wait for the next picture; None for one that is broken.

        Raises:
            FeedError: the webcam gives none any more.
        """
        if self._mode is not None and self._is_raw and self._mode.is_another_due(time.monotonic()):
            self.close()
            self.open()
        done, picture = self._capture.read() if self._capture is not None else (False, None)
        if not done or picture is None:
            raise FeedError("it gives no pictures any more; is it still plugged in?")
        frame = np.asarray(picture, dtype=np.uint8)
        if not self._is_raw:
            return Captured(frame)
        jpeg = self._jpeg(frame)
        if not self._asks_for_jpeg:
            LOGGER.info("webcam %s delivers no usable JPEG; its pictures are decoded here", self._number)
            self.close()
            self.open()
        return Captured(jpeg=jpeg) if jpeg is not None else None

    def _jpeg(self, frame: NDArray[np.uint8]) -> Jpeg | None:
        """Return the JPEG in a raw frame; stop asking for JPEG if the webcam delivers something else."""
        data = jpeg_of(frame)
        if data is None and not self._has_whole:
            self._asks_for_jpeg = False
            return None
        jpeg = Jpeg.parse(data) if data is not None else None
        if jpeg is None:
            # A webcam's first frames, and some of those on a bad cable, are often broken: no reason to give up.
            self._broken += 1
            self._asks_for_jpeg = self._broken < _MAX_BROKEN
            self._on_refused("broken JPEG")
            return None
        self._broken = 0
        self._has_whole = True
        return jpeg

    def close(self) -> None:
        """Let go of the webcam."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


def _request_jpeg(capture: cv2.VideoCapture) -> bool:
    """Ask a webcam for motion JPEG, and OpenCV to pass it on unchanged; return whether both accept."""
    return bool(
        capture.isOpened()
        and capture.getBackendName() == "V4L2"
        and capture.set(cv2.CAP_PROP_FOURCC, _MOTION_JPEG)
        and capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    )


def _reason(started: float, otherwise: str) -> str:
    """Return why OpenCV failed: what FFmpeg has written about it since `started` (monotonic, in s)."""
    if time.monotonic() - started >= SILENCE_S:
        return f"nothing came for {SILENCE_S:g} s"
    for line in reversed(NATIVE_OUTPUT.lines_since(started)):
        match = _FFMPEG_LINE.fullmatch(line)
        if match is not None:
            return match.group(1).strip()
    return otherwise
