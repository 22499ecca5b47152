"""The windows that are open, and the cameras that are known, both in bounded numbers. Pure: the clock is passed in."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from itertools import takewhile

from vp_mqtt.fusion.camera import CameraFrames
from vp_mqtt.fusion.window import Window
from vp_mqtt.protocol.frames import FrameId


class OpenWindows:
    """The open windows of all cameras, in the order in which they opened."""

    def __init__(self, *, max_cameras: int, max_open: int, history: int, counts: Counter[str]) -> None:
        """Start without windows.

        Args:
            max_cameras: cameras that are remembered; the one idle for longest makes room for a new one.
            max_open: windows open at a time.
            history: finished frames remembered per camera.
            counts: "refused" and "unannounced" are counted there.
        """
        self._max_cameras = max_cameras
        self._max_open = max_open
        self._history = history
        self._counts = counts
        self._windows: dict[tuple[str, FrameId], Window] = {}
        self._cameras: OrderedDict[str, CameraFrames] = OrderedDict()

    def __iter__(self) -> Iterator[Window]:
        return iter(list(self._windows.values()))

    def first(self) -> Window | None:
        """Return the window that opened first, None without any."""
        return next(iter(self._windows.values()), None)

    def due(self, now: float, deadline: float) -> list[Window]:
        """Return the windows whose deadline, in s after they opened, has passed."""
        return list(takewhile(lambda window: window.opened + deadline <= now, self._windows.values()))

    def find(self, camera: str, frame: FrameId) -> Window | None:
        """Return the frame's window, None if it is not open."""
        return self._windows.get((camera, frame))

    def finished(self, camera: str, frame: FrameId) -> float | None:
        """Return when the window of a finished frame had opened; None for other frames."""
        known = self._cameras.get(camera)
        return known.opened(frame) if known is not None else None

    def camera(self, window: Window) -> CameraFrames:
        """Return the frames of a window's camera."""
        return self._cameras[window.camera]

    def frames(self, camera: str) -> CameraFrames:
        """Return the frames of a camera that has windows open or finished."""
        return self._cameras[camera]

    def open(self, camera: str, frame: FrameId, now: float) -> Window | None:
        """Open a frame's window; None, and counted as refused, if there is no room for it."""
        if not (self._make_room() and self._remember(camera)):
            self._counts["refused"] += 1
            return None
        window = self._windows[camera, frame] = Window(camera, frame, now)
        return window

    def remove(self, window: Window) -> None:
        """Remove a window, if it is open. A frame that was never announced is not remembered."""
        if self._windows.pop((window.camera, window.frame), None) is None:
            return
        if window.announce is None:
            self._counts["unannounced"] += 1
        else:
            self._cameras[window.camera].finish(window)

    def forget_family(self, digest: bytes) -> None:
        """Forget how far the variants of the family with this digest have got with each camera's frames."""
        for camera in self._cameras.values():
            camera.forget_family(digest)

    def _make_room(self) -> bool:
        """Make room for one more window, if need be in place of the oldest that was not announced."""
        if len(self._windows) < self._max_open:
            return True
        oldest = next((window for window in self._windows.values() if window.announce is None), None)
        if oldest is None:
            return False
        self.remove(oldest)
        return True

    def _remember(self, camera: str) -> bool:
        """Make the camera the most recent one; False if all that are remembered have windows open."""
        if camera not in self._cameras:
            if len(self._cameras) >= self._max_cameras:
                busy = {window.camera for window in self._windows.values()}
                idle = next((name for name in self._cameras if name not in busy), None)
                if idle is None:
                    return False
                del self._cameras[idle]
            self._cameras[camera] = CameraFrames(self._history)
        self._cameras.move_to_end(camera)
        return True
