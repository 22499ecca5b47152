"""Leaves a topic at the broker while a client floods it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from vp_mqtt.fusion.flood_guard import FloodGuard, Limit, Verdict
from vp_mqtt.logs import LOGGER
from vp_mqtt.protocol.topics import Kind

# A node's own status changes when it starts, ends, connects, or has another bundle or problem.
LIMIT = Limit(burst=50, per_second=2.0)


class Subscriber(Protocol):
    """A session, as far as subscriptions go."""

    def subscribe(self, topics: Sequence[str], qos: int = 0) -> None:
        """Subscribe to topic filters."""
        ...

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe from a topic filter."""
        ...


class OnFlood(Protocol):
    """What else to do when a topic floods."""

    def __call__(self, *, is_flooded: bool) -> None:
        """Leave the topic at the broker, or read it again."""
        ...


def _ignore(*, is_flooded: bool) -> None:
    """Do nothing else."""


class TopicGate:
    """Bounds the rate of messages on a topic on which few are due, before they are decoded.

    Attributes:
        on_flood: called when the topic is left at the broker, in the network's thread, and when it is read again.
    """

    def __init__(self, topic: str, subscriber: Callable[[], Subscriber], *, block_s: float = 10.0) -> None:
        """Start open.

        Args:
            topic: subscribed to with QoS 1.
            subscriber: returns the session to unsubscribe in.
            block_s: for how long the topic is left at the broker, in s; up to eight times as long if it floods again.
        """
        self._topic = topic
        self._subscriber = subscriber
        self._guard = FloodGuard({Kind.STATUS: LIMIT}, block_s=block_s, longest_block_s=8 * block_s)
        self._source = Kind.STATUS, topic
        self._lock = threading.Lock()
        self.on_flood: OnFlood = _ignore

    def may_pass(self, now: float) -> bool:
        """Return whether a message that arrived now, in s on the monotonic clock, is to be looked at."""
        with self._lock:
            verdict = self._guard.check(self._source, now)
            due = self._guard.next_unblock()
        if verdict is Verdict.BLOCK and due is not None:
            LOGGER.warning("%s floods: it is left at the broker for a while", self._topic)
            self._subscriber().unsubscribe(self._topic)
            self.on_flood(is_flooded=True)
            timer = threading.Timer(due - now, self._reopen, [due])
            timer.daemon = True
            timer.start()
        return verdict is Verdict.ACCEPT

    def _reopen(self, due: float) -> None:
        with self._lock:
            self._guard.unblock(max(due, time.monotonic()))
        self._subscriber().subscribe([self._topic], qos=1)
        self.on_flood(is_flooded=False)
