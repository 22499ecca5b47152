"""A broker in memory with what bundles need of one: retained messages, and sessions that behave as the real ones do.

The way of bundles over a real broker is tested in tests/system/test_push.py; this is for their many error paths.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

import pytest
from paho.mqtt.client import topic_matches_sub

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import AnySubscription, Outgoing, Received, Subscription


class MemorySent:
    def __init__(self, *, is_delivered: bool) -> None:
        self._is_delivered = is_delivered

    def wait(self, timeout: float) -> bool:
        assert timeout > 0
        return self._is_delivered


class MemoryBroker:
    """Delivers at once, in the publisher's thread.

    Attributes:
        retained: payload by topic.
        log: what was published, in order.
        failure: what sessions fail with.
        is_reachable: whether sessions connect.
        knows_wildcards: whether retained messages are delivered to a filter with a wildcard.
        accepts: whether the broker keeps and passes on a message.
        acknowledges: whether the broker acknowledges a message.
        max_publish_bytes: largest packet that it accepts.
        sessions: the client ids of all sessions so far.
        asked: the topic filters that were subscribed to, together, in order.
    """

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.log: list[Outgoing] = []
        self.failure: UserError | None = None
        self.is_reachable = self.knows_wildcards = True
        self.accepts: Callable[[str], bool] = lambda _: True
        self.acknowledges: Callable[[str], bool] = lambda _: True
        self.max_publish_bytes = 1_000_000
        self.sessions: list[str] = []
        self.asked: list[list[str]] = []
        self.running: list[MemorySession] = []

    def use_in(self, monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
        """Let modules of vp_mqtt.bundle make their sessions here."""
        for module in modules:
            monkeypatch.setattr(f"vp_mqtt.bundle.{module}.Session", self.session)

    def session(
        self,
        options: BrokerOptions,
        *,
        client_id: str,
        subscriptions: Sequence[AnySubscription] = (),
        on_message: Callable[[Received], None],
        max_packet_bytes: int,
        finds_statuses: bool = False,
    ) -> MemorySession:
        assert finds_statuses is client_id.endswith("-push")
        assert options.url == BrokerOptions().url
        asked = [Subscription(*one) for one in subscriptions]
        self.asked.append([one.topic for one in asked])
        assert max_packet_bytes > 0
        assert all(one.qos == 1 for one in asked if not one.topic.endswith("/stats"))
        self.sessions.append(client_id)
        return MemorySession(self, [one.topic for one in asked], on_message)

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        if retain and payload:
            self.retained[topic] = payload
        elif retain:
            self.retained.pop(topic, None)
        for session in list(self.running):
            session.deliver(topic, payload)

    @property
    def topics(self) -> set[str]:
        return set(self.retained)


class MemorySession:
    def __init__(self, broker: MemoryBroker, filters: list[str], on_message: Callable[[Received], None]) -> None:
        self._broker = broker
        self._filters = filters
        self._on_message = on_message
        self.connected = threading.Event()

    @property
    def max_publish_bytes(self) -> int:
        return self._broker.max_publish_bytes

    @property
    def is_subscribed(self) -> bool:
        return self._broker.is_reachable

    def __enter__(self) -> Self:
        if self._broker.is_reachable:
            self.connected.set()
            self._broker.running.append(self)
            self._deliver_retained(self._filters)
        return self

    def __exit__(self, *_: object) -> None:
        if self in self._broker.running:
            self._broker.running.remove(self)

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        if any(topic_matches_sub(one, topic) for one in self._filters):
            self._on_message(Received(topic, payload, None, time.monotonic(), retained))

    def subscribe(self, topics: Sequence[str], qos: int = 0, *, retained: bool = True) -> None:
        assert qos == 1
        assert retained
        self._broker.asked.append(list(topics))
        self._filters += topics
        self._deliver_retained(topics)

    def _deliver_retained(self, filters: Sequence[str]) -> None:
        for topic, payload in list(self._broker.retained.items()):
            if topic in filters or (
                self._broker.knows_wildcards and any(topic_matches_sub(one, topic) for one in filters)
            ):
                self.deliver(topic, payload, retained=True)

    def unsubscribe(self, topic: str) -> None:
        self._filters.remove(topic)

    def check(self) -> None:
        if self._broker.failure is not None:
            raise self._broker.failure

    def wait_until_connected(self) -> bool:
        self.check()
        return self.connected.is_set()

    def publish(self, message: Outgoing) -> MemorySent | None:
        if message.packet_bytes() > self._broker.max_publish_bytes or not self.connected.is_set():
            return None
        assert message.retain
        assert message.qos == 1
        self._broker.log.append(message)
        if self._broker.accepts(message.topic):
            self._broker.publish(message.topic, message.payload)
        return MemorySent(is_delivered=self._broker.acknowledges(message.topic))
