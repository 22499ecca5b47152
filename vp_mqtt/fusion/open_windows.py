"""The windows that are open, and the cameras that are known, both in bounded numbers. Pure: the clock is passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import takewhile

from vp_mqtt.fusion.camera import CameraFrames
from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.window import FamilyVotes, Window
from vp_mqtt.protocol.frames import Announce, FrameId

# A camera keeps its place for this long without an announce, if another one wants it.
_IDLE_S = 600.0
# One camera can have this share of all windows.
_SHARE = 4


class OpenWindows:
    """The open windows of all cameras, in the order in which they opened."""

    def __init__(
        self, *, cameras: Collection[str] | None, max_cameras: int, max_open: int, history: int, counts: Counter[str]
    ) -> None:
        """Start without windows.

        Args:
            cameras: the only ones whose frames have windows; None for those that come first.
            max_cameras: cameras that are known at a time, where they are not given.
            max_open: windows open at a time; a single camera can have a quarter of them.
            history: finished frames remembered per camera.
            counts: "refused" and "duplicate_announces" are counted there.
        """
        self._only = None if cameras is None else frozenset(cameras)
        self._max_cameras = max_cameras
        self._max_open = max_open
        self._history = history
        self._counts = counts
        self._windows: dict[tuple[str, FrameId], Window] = {}
        self._cameras: dict[str, CameraFrames] = {}

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

    def known(self, camera: str) -> CameraFrames | None:
        """Return the frames of a camera that has announced some, None for other cameras."""
        return self._cameras.get(camera)

    def may_announce(self, camera: str) -> bool:
        """Return whether frames of a camera with this name would have windows, were there room."""
        return self._only is None or camera in self._only

    def frames(self, camera: str) -> CameraFrames:
        """Return the frames of a camera that has windows open or finished."""
        return self._cameras[camera]

    def open(self, camera: str, announce: Announce, now: float) -> Window | None:
        """Open a frame's window; None, and counted, if it was announced before or there is no room for it."""
        frames = self._cameras.get(camera) or self._admit(camera, now)
        if frames is None or len(self._windows) >= self._max_open:
            self._counts["refused"] += 1
            return None
        if frames.open_windows * _SHARE >= self._max_open and not frames.has_seen(announce.frame):
            self._counts["refused"] += 1
            return None
        window = frames.open(announce, now)
        if window is None:
            self._counts["duplicate_announces"] += 1
            return None
        self._windows[camera, announce.frame] = window
        return window

    def remove(self, window: Window) -> None:
        """Remove a window, if it is open."""
        if self._windows.pop((window.camera, window.frame), None) is not None:
            self._cameras[window.camera].finish(window)

    def pass_over(self, camera: str, frame: FrameId, order: int, voter: tuple[Family, int]) -> list[Window]:
        """Note a vote on an announced frame; return the windows of older frames, which stop waiting for the variant."""
        family, variant = voter
        frames = self._cameras[camera]
        frames.note_vote(family.digest, variant, frame, order)
        return frames.older(frame, order)

    def passed(self, window: Window, votes: FamilyVotes) -> AbstractSet[int]:
        """Return the variants of the votes' family that have voted on a newer frame."""
        return self._cameras[window.camera].passed(votes.family.digest, window)

    def outstanding(self, window: Window, votes: FamilyVotes) -> set[int]:
        """Return the variants of the votes' family whose vote is still waited for."""
        return votes.outstanding(window, self.passed(window, votes))

    def missed(self, windows: Iterable[Window]) -> Iterator[tuple[str, Family, int]]:
        """Yield camera, family and index of each variant whose vote is missing at the windows' deadline.

        Where nobody voted, the frame may be at fault: it is no evidence against anyone.
        """
        for window in windows:
            if window.has_votes:
                for votes in window.open_votes():
                    for variant in self.outstanding(window, votes):
                        yield window.camera, votes.family, variant

    def up_to(self, windows: Iterable[Window]) -> list[Window]:
        """Return the windows, and those whose labels come before one of theirs."""
        by_camera: dict[str, list[Window]] = {}
        for window in windows:
            by_camera.setdefault(window.camera, []).append(window)
        return [one for camera, own in by_camera.items() for one in self._cameras[camera].up_to(own)]

    def forget_family(self, digest: bytes) -> None:
        """Forget how far the variants of the family with this digest have got with each camera's frames."""
        for camera in self._cameras.values():
            camera.forget_family(digest)

    def _admit(self, camera: str, now: float) -> CameraFrames | None:
        """Make a new camera known; None if there is no place for it."""
        if not self.may_announce(camera):
            return None
        if self._only is None and len(self._cameras) >= self._max_cameras:
            idle = min(
                (frames for frames in self._cameras.items() if not frames[1].open_windows),
                key=lambda item: item[1].last_announce,
                default=None,
            )
            if idle is None or now - idle[1].last_announce < _IDLE_S:
                return None
            del self._cameras[idle[0]]
        frames = self._cameras[camera] = CameraFrames(camera, self._history)
        return frames
