"""Where a camera node's pictures come from: webcam, video file, stream, folder of pictures, samples in the box."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.inference import pictures
from vp_mqtt.inference.pictures import PICTURE_SUFFIXES, Picture, PictureError, begins_as_jpeg, is_whole_jpeg
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.session import backoff
from vp_mqtt.protocol.class_names import as_class_name

SAMPLES = Path(__file__).parents[2] / "assets" / "samples"
DEFAULT_SAMPLES = "fashion-mnist"
STREAM_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://", "rtmp://", "udp://", "tcp://")

_OPEN_TIMEOUT_MS = 5000
_NEW_FRAME_S = 1.0
_HEAD_BYTES = 512
_MAX_WEBCAM = 2**31 - 1
_MOTION_JPEG = cv2.VideoWriter.fourcc(*"MJPG")
_MAX_BROKEN = 10


@dataclass(frozen=True, eq=False)
class Captured:
    """A picture from a source: decoded, as JPEG, or both.

    Attributes:
        decoded: as `picture`, where it is at hand; None only where there is a JPEG.
        truth: the true class name, if the source knows it.
        jpeg: as the source gave it, where it did; head and end are there.
    """

    decoded: Picture | None = None
    truth: str | None = None
    jpeg: bytes | None = None

    @cached_property
    def picture(self) -> Picture:
        """Shape (height, width, 3), uint8, blue, green, red; a JPEG is decoded when it is first asked for.

        Raises:
            PictureError: the JPEG cannot be decoded.
        """
        return self.decoded if self.decoded is not None else pictures.decode(self.jpeg or b"")


class Source(ABC):
    """Yields pictures; the camera node sets the pace."""

    @abstractmethod
    def captures(self) -> Iterator[Captured]:
        """Yield the pictures from the start to the end of the source; live sources have no end.

        Raises:
            UserError: the source cannot be read.
        """

    def is_stuck(self, _patience: float) -> bool:
        """Tell whether the source has been at a standstill for so many seconds, rather than without pictures."""
        return False

    def close(self) -> None:  # noqa: B027 (most sources hold nothing)
        """Let go of whatever the source holds; `captures` ends soon after."""


class PictureFolder(Source):
    """The pictures of a folder, or one picture; CLASS/IMAGE tells the truth, and the classes take turns."""

    def __init__(self, path: Path) -> None:
        """List the pictures.

        Raises:
            UserError: there are none.
        """
        self._root = path
        self._sound: dict[Path, tuple[int, int]] = {}
        self._told: set[tuple[Path, str]] = set()
        if path.is_dir():
            found = (p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())
            by_folder: dict[Path, list[Path]] = defaultdict(list)
            for file in sorted(found):
                by_folder[file.parent].append(file)
            turns = zip_longest(*by_folder.values())
            self._files = [file for turn in turns for file in turn if file is not None]
        else:
            self._files = [path]
        if not self._files:
            raise UserError(f"--source {path}: no pictures in this folder ({', '.join(sorted(PICTURE_SUFFIXES))})")

    def captures(self) -> Iterator[Captured]:
        """Yield the pictures; one that cannot be read is told of, once, and left out.

        Raises:
            UserError: none of them can be read.
        """
        readable = 0
        for file in self._files:
            try:
                captured = self._read(file)
            except (OSError, PictureError) as error:
                if (file, str(error)) not in self._told:
                    self._told.add((file, str(error)))
                    LOGGER.warning("%s: %s; left out", file, error)
                continue
            readable += 1
            yield captured
        if not readable:
            raise UserError(f"--source {self._root}: no picture there can be read")

    def _read(self, file: Path) -> Captured:
        """Read a picture: a JPEG is decoded when it is new or has changed, to see that it can be; then no more."""
        with file.open("rb") as opened:
            state = os.fstat(opened.fileno())
            data = opened.read()
        if not is_whole_jpeg(data):
            return Captured(pictures.decode(data), self._truth(file))
        stamp = state.st_mtime_ns, state.st_size
        if self._sound.get(file) == stamp:
            return Captured(truth=self._truth(file), jpeg=data)
        picture = pictures.decode(data)
        self._sound[file] = stamp
        return Captured(picture, self._truth(file), data)

    def _truth(self, file: Path) -> str | None:
        if not self._root.is_dir() or file.parent == self._root:
            return None
        return as_class_name(file.parent.name)


class VideoFile(Source):
    """The frames of a video file."""

    def __init__(self, path: Path) -> None:
        """Open the file once, to see that it is a video.

        Raises:
            UserError: OpenCV cannot read it.
        """
        self._path = path
        self._open().release()

    def _open(self) -> cv2.VideoCapture:
        # FFmpeg would play a text, too, as pictures of its letters.
        capture = cv2.VideoCapture("" if _is_text(self._path) else str(self._path))
        if not capture.isOpened():
            raise UserError(f"--source {self._path}: neither a picture nor a video that OpenCV can read")
        return capture

    def captures(self) -> Iterator[Captured]:
        """Yield the frames.

        Raises:
            UserError: the file can no longer be read, or it has no frames.
        """
        capture = self._open()
        try:
            seen = 0
            while True:
                done, picture = capture.read()
                if not done:
                    break
                seen += 1
                yield Captured(np.asarray(picture, dtype=np.uint8))
            if not seen:
                raise UserError(f"--source {self._path}: a video without frames")
        finally:
            capture.release()


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return False
    return all(c.isprintable() or c.isspace() for c in head)


def jpeg_of(frame: NDArray[np.uint8]) -> bytes | None:
    """Return the JPEG that a webcam's frame is as it came, without the zeros after it; None where it is none.

    Args:
        frame: shape (1, bytes), uint8, for a JPEG, whole or broken; of any other shape it is something else.
    """
    if frame.ndim > 2 or frame.size != frame.shape[-1]:  # noqa: PLR2004 (rows and columns)
        return None
    data = frame.tobytes()
    return data.rstrip(b"\0") if begins_as_jpeg(data) else None


class LiveStream(Source):
    """A webcam or a network stream: always its newest picture; one that breaks is opened again."""

    def __init__(
        self,
        address: int | str,
        *,
        size: tuple[int, int] | None = None,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Open the stream.

        Args:
            address: a webcam's number or a stream's address.
            size: width and height that a webcam is asked for, in pixels; it may give others.
            on_refused: called with the reason for every picture that is left out, in a thread of the stream's own.

        Raises:
            UserError: there is no such webcam. (A stream may come up later.)
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
        self._turn = time.monotonic()
        self.pictures_seen = 0
        first = self._open()
        if first is None and isinstance(address, int):
            raise UserError(f"--source {address}: no webcam with this number; try another, or check its cable")
        if first is None:
            LOGGER.warning("stream %s cannot be opened; trying until it is there", address)
        self._thread = threading.Thread(target=self._grab, args=(first,), name="grabber", daemon=True)
        self._thread.start()

    def _open(self) -> cv2.VideoCapture | None:
        if isinstance(self._address, int):
            capture = cv2.VideoCapture(min(self._address, _MAX_WEBCAM))
            self._is_raw = self._asks_for_jpeg and _give_jpeg(capture)
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
            self._turn = time.monotonic()
            done, picture = capture.read() if capture is not None else (False, None)
            if done and picture is not None:
                attempt = 0
                self._take(np.asarray(picture, dtype=np.uint8))
                if capture is not None and self._is_raw and not self._asks_for_jpeg:
                    LOGGER.info("webcam %s gives no JPEG that can be used; it is decoded here", self._address)
                    capture.release()
                    capture = self._open()
                continue
            if capture is not None:
                capture.release()
                if attempt == 0:
                    LOGGER.warning("stream %s broke off; opening it again", self._address)
            if self._closed.wait(backoff(attempt)):
                return
            attempt += 1
            capture = self._open()
        if capture is not None:
            capture.release()

    def _take(self, frame: NDArray[np.uint8]) -> None:
        """Keep a frame as the newest picture; ask for JPEG no more where that gives something else."""
        captured = Captured(frame)
        if self._is_raw:
            jpeg = jpeg_of(frame)
            if jpeg is None and self.pictures_seen == 0:
                self._asks_for_jpeg = False
                return
            if jpeg is None or not is_whole_jpeg(jpeg):
                # A webcam's first frames, and some of those on a bad cable, are often broken: not a reason to give up.
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
        """Tell whether a read or an attempt to open has been hanging for so many seconds."""
        return time.monotonic() - self._turn > patience

    def close(self) -> None:
        """End the stream; a read that hangs is left to the daemon thread."""
        self._closed.set()
        with self._fresh:
            self._fresh.notify_all()
        self._thread.join(0.5)


def _give_jpeg(capture: cv2.VideoCapture) -> bool:
    """Ask a webcam for motion JPEG, and OpenCV to leave it as it is; tell whether both say that they will."""
    return bool(
        capture.isOpened()
        and capture.getBackendName() == "V4L2"
        and capture.set(cv2.CAP_PROP_FOURCC, _MOTION_JPEG)
        and capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    )


def open_source(
    source: str, *, size: tuple[int, int] | None = None, on_refused: Callable[[str], None] = lambda _: None
) -> Source:
    """Open what `--source` names.

    Args:
        source: a webcam's number, a stream's address, a file, a folder, or "samples" (or "samples:BUNDLE").
        size: width and height that a webcam is asked for, in pixels; it may give others.
        on_refused: called with the reason for every picture of a live source that is left out, in any thread.

    Raises:
        UserError: there is no such thing, or it cannot be read.
    """
    if source == "samples" or source.startswith("samples:"):
        name = source.partition(":")[2] or DEFAULT_SAMPLES
        if not (SAMPLES / name).is_dir():
            known = ", ".join(sorted(p.name for p in SAMPLES.glob("*") if p.is_dir())) or "none"
            raise UserError(f"--source {source}: no such samples in the box; there are: {known}")
        return PictureFolder(SAMPLES / name)
    if source.isdecimal():
        return LiveStream(int(source), size=size, on_refused=on_refused)
    if source.startswith(STREAM_SCHEMES):
        return LiveStream(source, on_refused=on_refused)
    path = Path(source)
    try:
        is_there = path.exists()
    except OSError:
        is_there = False
    if not is_there:
        raise UserError(
            f"--source {source}: there is no such file or folder (nor is it a webcam's number or an address)"
        )
    if path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES:
        folder = PictureFolder(path)
        if path.is_file():
            next(folder.captures())
        return folder
    return VideoFile(path)
