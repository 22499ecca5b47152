"""Videos in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.nodes.sources.answers import is_named_as_text, is_text
from vp_mqtt.nodes.sources.base import Captured, Source

_HEAD_BYTES = 512
_USUAL_FPS = 25.0
_LONGEST_STEP_S = 60.0
# Frames at 25/s that are thinned out to 12.5/s are a hundredth of a microsecond early or late.
_TOLERANCE_S = 1e-4


class FrameTimes:
    """The times of a video's frames, made to increase whatever the file says."""

    def __init__(self, fps: float) -> None:
        """Begin at the first frame.

        Args:
            fps: frames per second, as the file says; used where its frames have no time. 0 if it does not say.
        """
        self._step = 1 / fps if 0 < fps <= 1000 else 1 / _USUAL_FPS  # noqa: PLR2004 (of no camera)
        self._stamp: float | None = None
        self._at = 0.0

    def next(self, stamp: float) -> float:
        """Return when the next frame is to be shown, in seconds since the first one.

        Args:
            stamp: the frame's time stamp in the file, in seconds. One that does not increase, or jumps by more than a
                minute, is taken for a wrong one.
        """
        if self._stamp is not None:
            step = stamp - self._stamp
            self._at += step if 0 < step <= _LONGEST_STEP_S else self._step
        self._stamp = stamp
        return self._at


class VideoFile(Source):
    """The frames of a video file, each with its time in the video; thinned out to a frame rate."""

    def __init__(self, path: Path, fps: float) -> None:
        """Name the file.

        Args:
            path: the file.
            fps: frames per second to yield at most.
        """
        self._path = path
        self._interval = 1 / fps

    def open(self) -> None:
        """Open the file once, to check that it is a video.

        Raises:
            UserError: OpenCV cannot read it.
        """
        self._capture().release()

    def _capture(self) -> cv2.VideoCapture:
        # FFmpeg would render a text file, too, as pictures of its letters.
        capture = cv2.VideoCapture("" if _has_text(self._path) else str(self._path))
        if not capture.isOpened():
            raise UserError(f"--source {self._path}: neither a picture nor a video that OpenCV can read")
        return capture

    def captures(self) -> Iterator[Captured]:
        """Yield the frames.

        Raises:
            UserError: the file can no longer be read, or it has no frames.
        """
        capture = self._capture()
        times = FrameTimes(capture.get(cv2.CAP_PROP_FPS))
        due = 0.0
        has_frames = False
        try:
            while capture.grab():
                at = times.next(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
                if has_frames and at < due - _TOLERANCE_S:
                    continue
                done, picture = capture.retrieve()
                if not done:
                    break
                has_frames = True
                # On average as many frames as are wanted, whatever the video's own rate.
                due = max(due + self._interval, at)
                yield Captured(np.asarray(picture, dtype=np.uint8), at=at)
            if not has_frames:
                raise UserError(f"--source {self._path}: a video without frames")
        finally:
            capture.release()


def _has_text(path: Path) -> bool:
    if is_named_as_text(path.name):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return bool(head) and is_text(head)
