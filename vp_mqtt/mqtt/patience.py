"""How long to wait for the answer to a ping on a slow link."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that a connection has moved so far.

    Attributes:
        acknowledged: sent, and received by the other end.
        received: received from it.
        waiting: written, but not acknowledged yet.
    """

    acknowledged: int
    received: int
    waiting: int


class PongPatience:
    """Tells a slow link from a dead one while a ping is unanswered.

    A ping waits behind the frames that were written before it, and its answer behind those that the broker sends. As
    long as these bytes move, the broker is not silent. What is written after the ping does not count: the other end's
    system accepts it even if the broker itself hangs.
    """

    def __init__(self, traffic: Traffic, queued: int) -> None:
        """Start when the ping has been put into the queue.

        Args:
            traffic: at this time.
            queued: bytes that are not even written yet, the ping included.
        """
        self._goal = traffic.acknowledged + traffic.waiting + queued
        self._last = traffic

    def is_justified(self, traffic: Traffic) -> bool:
        """Return whether bytes ahead of the ping or of its answer have moved since the last call."""
        last, self._last = self._last, traffic
        has_sent = last.acknowledged < self._goal and traffic.acknowledged > last.acknowledged
        return has_sent or traffic.received > last.received
