"""Leaves topics at the broker while a client floods them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.flood_guard import FloodGuard, Limit, Verdict
from vp_mqtt.mqtt.message import Received, Subscription


class Subscriber(Protocol):
    """A session, as far as subscriptions go."""

    def subscribe(self, topics: Sequence[str], qos: int = 0, *, retained: bool = True) -> None:
        """Subscribe to topic filters."""
        ...

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe from a topic filter."""
        ...


class OnFlood(Protocol):
    """What else to do when a topic floods."""

    def __call__(self, topic: str, *, is_flooded: bool) -> None:
        """Leave the topic at the broker, or read it again."""
        ...


def _ignore(topic: str, *, is_flooded: bool) -> None:
    """Do nothing else."""


class TopicGates:
    """Bounds the rate of messages on each of some topics, before they are decoded.

    Attributes:
        on_flood: called when a topic is left at the broker, in the network's thread, and when it is read again.
    """

    def __init__(self, subscriber: Callable[[], Subscriber], *, block_s: float = 10.0) -> None:
        """Start without topics.

        Args:
            subscriber: returns the session to unsubscribe in.
            block_s: for how long a topic is left at the broker, in s; up to eight times as long if it floods again.
        """
        self._subscriber = subscriber
        self._subscriptions: dict[str, Subscription] = {}
        self._limits: dict[str, Limit] = {}
        self._guard = FloodGuard(self._limits, block_s=block_s, longest_block_s=8 * block_s)
        self._lock = threading.Lock()
        self.on_flood: OnFlood = _ignore

    def add(self, *subscriptions: Subscription) -> None:
        """Bound what comes on topics by the subscriptions' limits; without one, it is not bounded here."""
        with self._lock:
            for one in subscriptions:
                if one.limit is not None:
                    self._subscriptions[one.topic] = one
                    self._limits[one.topic] = one.limit

    def remove(self, topic: str) -> None:
        """Note that a topic was unsubscribed from for good."""
        with self._lock:
            self._subscriptions.pop(topic, None)

    def passing(self, on_message: Callable[[Received], None]) -> Callable[[Received], None]:
        """Return a function that passes on only what may pass."""
        return lambda message: on_message(message) if self.may_pass(message.topic, message.at) else None

    def may_pass(self, topic: str, now: float) -> bool:
        """Return whether a message that arrived now, in s on the monotonic clock, is to be looked at."""
        if topic not in self._limits:
            return True
        with self._lock:
            verdict = self._guard.check((topic, ""), now)
            due = self._guard.blocked_until((topic, ""))
        if verdict is Verdict.BLOCK:
            LOGGER.warning("%s floods: it is left at the broker for a while", topic)
            self._subscriber().unsubscribe(topic)
            self.on_flood(topic, is_flooded=True)
            timer = threading.Timer(due - now, self._reopen, [due])
            timer.daemon = True
            timer.start()
        return verdict is Verdict.ACCEPT

    def _reopen(self, due: float) -> None:
        with self._lock:
            topics = [topic for topic, _ in self._guard.unblock(max(due, time.monotonic()))]
        for topic in topics:
            if (subscription := self._subscriptions.get(topic)) is not None:
                self._subscriber().subscribe([topic], subscription.qos, retained=subscription.retained)
            self.on_flood(topic, is_flooded=False)
