"""When a camera node publishes its next picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from vp_mqtt.nodes.sources import Captured

_SLACK_S = 0.5
"""A delay up to this is caught up with."""


class Pace:
    """Sets the pace of pictures: a frame rate, or the pictures' own times. Times are in s, on a monotonic clock."""

    def __init__(self, fps: float, now: float) -> None:
        """Begin now.

        Args:
            fps: pictures per second, of a source without times of its own.
            now: the present time.
        """
        self._interval = 1 / fps
        self._due = now
        self._origin: float | None = None
        self._last_at = 0.0

    @property
    def due(self) -> float:
        """When to take the next picture from the source."""
        return self._due

    def is_early(self, now: float) -> bool:
        """Return whether a picture without a time that is taken now comes in addition to those that are due."""
        return now < self._due - self._interval / 2

    def take(self, now: float) -> None:
        """Note that a picture without a time was taken; what a delay has cost is not made up for."""
        self._due = max(self._due + self._interval, now - self._interval)

    def show(self, at: float, now: float) -> float:
        """Return when to show a picture that has a time of its own.

        Args:
            at: in seconds since the source's start; a smaller one than before is that of a source that plays again.
            now: the present time. Pictures that come too late are shown at once, and the following ones as much later.
        """
        if self._origin is None:
            self._origin = now - at
        elif at < self._last_at:
            self._origin += self._last_at + self._interval - at
        self._last_at = at
        self._origin = max(self._origin, now - at - _SLACK_S)
        self._due = now
        return self._origin + at


def paced(
    captures: Iterator[Captured],
    fps: float,
    wait: Callable[[float], bool],
    rest: Callable[[float], bool] | None = None,
) -> Iterator[Captured]:
    """Yield a source's pictures at a frame rate, or at their own times if they have some.

    Args:
        captures: the pictures.
        fps: the frame rate, in 1/s.
        wait: waits for so many seconds, or returns True at once to end.
        rest: the same, but it may return False earlier, to have the next picture then; None for `wait`.
    """
    pace = Pace(fps, time.monotonic())
    rest = rest or wait
    while not rest(max(0.0, pace.due - time.monotonic())):
        captured = next(captures, None)
        if captured is None:
            return
        now = time.monotonic()
        if captured.at is None and pace.is_early(now):
            captured = replace(captured, is_early=True)
        elif captured.at is None:
            pace.take(now)
        elif wait(max(0.0, pace.show(captured.at, now) - now)):
            return
        yield captured
