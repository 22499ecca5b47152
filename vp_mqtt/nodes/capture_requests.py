"""Requests for a frame now, which anyone who may publish on the topic can make: in a bounded number. Pure."""

from __future__ import annotations

import threading

CAPTURES_AT_ONCE = 5
CAPTURES_PER_S = 1.0


class CaptureRequests:
    """Whether a frame was asked for; may be used from any thread. Times are in s, on a monotonic clock.

    However many requests come before the next frame, they are answered by that one.
    """

    def __init__(self, *, at_once: int = CAPTURES_AT_ONCE, per_s: float = CAPTURES_PER_S) -> None:
        """Start without requests.

        Args:
            at_once: so many are accepted one directly after the other.
            per_s: so many a second are accepted for long.
        """
        self._at_once = at_once
        self._per_s = per_s
        self._left = float(at_once)
        self._counted_at: float | None = None
        self._is_open = False
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether a request has not been answered yet."""
        return self._is_open

    def add(self, now: float) -> bool:
        """Accept a request, and return True; False if there have been too many."""
        with self._lock:
            if self._counted_at is not None:
                self._left = min(self._at_once, self._left + max(0.0, now - self._counted_at) * self._per_s)
            self._counted_at = now
            if self._left < 1:
                return False
            self._left -= 1
            self._is_open = True
            return True

    def answer(self) -> None:
        """Note that a frame is published."""
        with self._lock:
            self._is_open = False
