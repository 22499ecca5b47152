"""The windows that are open, in a bounded number. Pure: the clock is passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import takewhile

from vp_mqtt.fusion.cameras import Cameras
from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.window import FamilyVotes, Window
from vp_mqtt.protocol.frames import Announce, FrameId

# One camera can have this share of all windows.
_SHARE = 4


class OpenWindows:
    """The open windows of all cameras, in the order in which they opened."""

    def __init__(self, cameras: Cameras, *, max_open: int, counts: Counter[str]) -> None:
        """Start without windows.

        Args:
            cameras: the cameras that are known.
            max_open: windows open at a time; a single camera can have a quarter of them.
            counts: "refused" and "duplicate_announces" are counted there.
        """
        self._cameras = cameras
        self._max_open = max_open
        self._counts = counts
        self._windows: dict[tuple[str, FrameId], Window] = {}

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

    def open(self, camera: str, announce: Announce, now: float) -> Window | None:
        """Open a frame's window; None, and counted, if it was announced before or there is no room for it."""
        frames = self._cameras.find(camera) or self._cameras.admit(camera, now)
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

    def abandon(self) -> int:
        """Remove all windows, without labels; return how many."""
        count = len(self._windows)
        self._windows.clear()
        for camera in self._cameras:
            camera.abandon()
        return count

    def pass_over(self, camera: str, frame: FrameId, order: int, voter: tuple[Family, int]) -> list[Window]:
        """Note a vote on an announced frame; return the windows of older frames, which stop waiting for the variant."""
        family, variant = voter
        if variant in family.replicated:
            # Another node may be at work on an older frame.
            return []
        frames = self._cameras[camera]
        frames.note_vote(family.digest, variant, frame, order)
        return frames.older(frame, order)

    def passed(self, window: Window, votes: FamilyVotes) -> AbstractSet[int]:
        """Return the variants of the votes' family that have voted on a newer frame."""
        return self._cameras[window.camera].passed(votes.family.digest, window)

    def outstanding(self, window: Window, votes: FamilyVotes) -> set[int]:
        """Return the variants of the votes' family whose vote is still waited for."""
        return votes.outstanding(window, self.passed(window, votes))

    def close_votes(self, window: Window, now: float) -> bool:
        """Close those of a window's votes that need not wait any longer; return whether there are such, or all are."""
        open_votes = window.open_votes()
        has_closed = not open_votes
        for votes in open_votes:
            reason = votes.reason_to_close(window, self.passed(window, votes))
            if reason is not None:
                votes.close(reason, now)
                has_closed = True
        return has_closed

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
        for camera in self._cameras:
            camera.forget_family(digest)
