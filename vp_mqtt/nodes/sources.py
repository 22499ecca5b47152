"""Where a camera node's pictures come from: webcam, video file, stream, folder of pictures, samples in the box."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from vp_mqtt.classes import as_class_name
from vp_mqtt.errors import UserError
from vp_mqtt.inference import pictures
from vp_mqtt.inference.pictures import PICTURE_SUFFIXES, Picture, PictureError
from vp_mqtt.logs import LOGGER
from vp_mqtt.session import backoff

SAMPLES = Path(__file__).parent.parent / "samples"
DEFAULT_SAMPLES = "fashion-mnist"
STREAM_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://", "rtmp://", "udp://", "tcp://")

_OPEN_TIMEOUT_MS = 5000
_NEW_FRAME_S = 1.0
_HEAD_BYTES = 512
_MAX_WEBCAM = 2**31 - 1


@dataclass(frozen=True, eq=False, slots=True)
class Captured:
    """A picture from a source.

    Attributes:
        picture: shape (height, width, 3), uint8, blue, green, red.
        truth: the true class name, if the source knows it.
    """

    picture: Picture
    truth: str | None = None


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
        """Yield the pictures; one that cannot be read is told of and left out.

        Raises:
            UserError: none of them can be read.
        """
        readable = 0
        for file in self._files:
            try:
                picture = pictures.decode(file.read_bytes())
            except (OSError, PictureError) as error:
                LOGGER.warning("%s: %s; left out", file, error)
                continue
            readable += 1
            yield Captured(picture, self._truth(file))
        if not readable:
            raise UserError(f"--source {self._root}: no picture there can be read")

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


class LiveStream(Source):
    """A webcam or a network stream: always its newest picture; one that breaks is opened again."""

    def __init__(self, address: int | str) -> None:
        """Open the stream.

        Args:
            address: a webcam's number or a stream's address.

        Raises:
            UserError: there is no such webcam. (A stream may come up later.)
        """
        self._address = address
        self._closed = threading.Event()
        self._fresh = threading.Condition()
        self._newest: Picture | None = None
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
                self.pictures_seen += 1
                with self._fresh:
                    self._newest = np.asarray(picture, dtype=np.uint8)
                    self._fresh.notify()
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

    def captures(self) -> Iterator[Captured]:
        """Yield the newest picture, each once, until the source is closed."""
        while not self._closed.is_set():
            with self._fresh:
                if self._newest is None:
                    self._fresh.wait(_NEW_FRAME_S)
                picture, self._newest = self._newest, None
            if picture is not None:
                yield Captured(picture)

    def is_stuck(self, patience: float) -> bool:
        """Tell whether a read or an attempt to open has been hanging for so many seconds."""
        return time.monotonic() - self._turn > patience

    def close(self) -> None:
        """End the stream; a read that hangs is left to the daemon thread."""
        self._closed.set()
        with self._fresh:
            self._fresh.notify_all()
        self._thread.join(0.5)


def open_source(source: str) -> Source:
    """Open what `--source` names.

    Args:
        source: a webcam's number, a stream's address, a file, a folder, or "samples" (or "samples:BUNDLE").

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
        return LiveStream(int(source))
    if source.startswith(STREAM_SCHEMES):
        return LiveStream(source)
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
