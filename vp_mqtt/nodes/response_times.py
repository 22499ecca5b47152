"""How long a camera's frames wait for their labels."""

from __future__ import annotations

import threading
from collections import OrderedDict

_MAX_WAITING = 1000
_GIVE_UP_AFTER_S = 5.0


class ResponseTimes:
    """The frames whose label has not arrived yet, with the time of their capture; may be used from any thread.

    Times are in s, on this machine's monotonic clock.
    """

    def __init__(self) -> None:
        """Start without frames."""
        self._captured: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, frame: bytes, captured: float) -> int:
        """Note a frame that is being published.

        Args:
            frame: the frame's id, as MQTT correlation data.
            captured: when it was captured.

        Returns:
            How many earlier frames were given up, as their labels have not arrived in 5 s.
        """
        with self._lock:
            given_up = self._give_up(captured - _GIVE_UP_AFTER_S)
            self._captured[frame] = captured
        return given_up

    def cancel(self, frame: bytes) -> None:
        """Forget a frame that could not be published."""
        with self._lock:
            self._captured.pop(frame, None)

    def finish(self, frame: bytes | None, arrived: float) -> float | None:
        """Return the response time of a frame whose label arrived, in s; None for a frame that does not wait."""
        with self._lock:
            captured = self._captured.pop(frame, None) if frame is not None else None
        return None if captured is None else arrived - captured

    def _give_up(self, before: float) -> int:
        given_up = 0
        while self._captured:
            frame, captured = next(iter(self._captured.items()))
            if captured >= before and len(self._captured) < _MAX_WAITING:
                break
            del self._captured[frame]
            given_up += 1
        return given_up
