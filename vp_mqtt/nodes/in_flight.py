"""Frames on their way to the broker."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.delivery import Sent

_SLOW_S = 1.0
_SLOW_FRAMES = 2
_POLL_S = 0.02


@dataclass(slots=True)
class _Flight:
    sent: Sent
    frame_bytes: int
    since: float
    seen_pending: float


class InFlight:
    """The frames that the broker has not acknowledged yet: few, since old frames are worthless.

    Warns, once, if frames take longer than a second, or so long that their connection breaks: the user may want smaller
    ones.
    """

    def __init__(self, limit: int) -> None:
        """Start with none.

        Args:
            limit: frames at a time, at least 1.
        """
        self._limit = limit
        self._flights: list[_Flight] = []
        self._slow = 0
        self._broken = 0
        self._has_warned = False

    def is_full(self, now: float) -> bool:
        """Forget the frames that have arrived, or are lost, and return whether no further one may be sent now."""
        pending = []
        for flight in self._flights:
            if flight.sent.is_pending:
                flight.seen_pending = now
                pending.append(flight)
            else:
                self._note_end(flight)
        self._flights = pending
        return len(pending) >= self._limit

    def add(self, sent: Sent, frame_bytes: int, now: float) -> None:
        """Add a frame that was sent just now.

        Args:
            sent: the last of its messages.
            frame_bytes: size of the JPEG.
            now: on a monotonic clock, in s.
        """
        self._flights.append(_Flight(sent, frame_bytes, now, now))

    def wait(self, stopping: threading.Event, timeout: float) -> None:
        """Wait until all have arrived or are lost, until the node is to stop, or for so many seconds."""
        until = time.monotonic() + timeout
        while any(flight.sent.is_pending for flight in self._flights) and time.monotonic() < until:
            if stopping.wait(_POLL_S):
                return

    def _note_end(self, flight: _Flight) -> None:
        # It may have ended at any time since it was last seen.
        seconds = flight.seen_pending - flight.since
        if seconds <= _SLOW_S:
            self._slow = self._broken = 0
        elif flight.sent.is_delivered:
            self._slow, self._broken = self._slow + 1, 0
        else:
            self._broken += 1
        kilobytes = flight.frame_bytes // 1000
        if self._slow == _SLOW_FRAMES:
            self._warn(f"the link to the broker is slow: a frame of {kilobytes} kB takes {seconds:.1f} s", "--fps")
        elif self._broken == _SLOW_FRAMES:
            self._warn(
                f"connections break while a frame of {kilobytes} kB is on its way, after {seconds:.1f} s", "--keepalive"
            )

    def _warn(self, what: str, option: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            LOGGER.warning("%s (see --size, --quality and %s)", what, option)
