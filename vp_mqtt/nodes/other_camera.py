"""Notices another camera node that publishes under the same camera name, by the labels of its frames."""

from __future__ import annotations

from collections import deque

from vp_mqtt.protocol.frames import FrameId

_GRACE_S = 5.0
"""The first labels may still be those of an earlier process of ours."""
_ENOUGH = 3
_REMEMBERED_S = 30.0


class OtherCamera:
    """Watches a camera's labels for those of frames that are not ours. Times are in s, on a monotonic clock."""

    def __init__(self, run: int, *, frames_every_s: float = 0.0) -> None:
        """Know which frames are ours.

        Args:
            run: of our frame ids.
            frames_every_s: the longest time between two frames, in s.
        """
        self._run = run
        self._remembered_s = max(_REMEMBERED_S, 2 * _ENOUGH * frames_every_s)
        self._first: float | None = None
        self._seen: deque[float] = deque(maxlen=_ENOUGH)

    def note(self, frame: bytes | None, now: float) -> None:
        """Note a label that has arrived, by the frame id in its correlation data."""
        try:
            run = FrameId.decode(frame).run
        except ValueError:
            return
        if self._first is None:
            self._first = now
        if run != self._run and now - self._first >= _GRACE_S:
            self._seen.append(now)

    def is_there(self, now: float) -> bool:
        """Return whether another camera has lately published under our name."""
        return len(self._seen) == _ENOUGH and now - self._seen[0] < self._remembered_s
