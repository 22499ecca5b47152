"""What all nodes do beside their work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.nodes import base, signals
from vp_mqtt.nodes.base import Node
from vp_mqtt.protocol.messages import StatsMessage


class Session:
    """Keeps what is published."""

    connections = 1

    def __init__(self, _broker: object, **_: object) -> None:
        self.published: list[Outgoing] = []

    def start(self) -> None:
        pass

    def stop(self, *_: object, **__: object) -> None:
        pass

    def publish(self, message: Outgoing) -> None:
        self.published.append(message)


def new_node(more_counts: Callable[[], Mapping[str, int]]) -> Node:
    return Node(
        site="home",
        name="v0",
        role="variant",
        stats_every_s=0.01,
        subscriptions=(),
        on_message=lambda _: None,
        more_counts=more_counts,
        max_packet_bytes=1000,
    )


def test_stats_go_on_after_some_that_could_not_be_made_which_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(base, "Session", Session)
    monkeypatch.setattr(base, "_notify_systemd", lambda *_: None)
    monkeypatch.setattr(signals, "handle", lambda _: None)
    asked, is_late = 0, threading.Event()

    def more_counts() -> Mapping[str, int]:
        nonlocal asked
        asked += 1
        if asked > 5:
            is_late.set()
        return {"frames": -1 if asked <= 3 else asked}

    node = new_node(more_counts)
    node.start(BrokerOptions())
    try:
        assert is_late.wait(30)
    finally:
        node.stop()
    session = node.session
    assert isinstance(session, Session)
    sent = [StatsMessage.decode(message.payload).counts["frames"] for message in session.published]
    assert sent[:2] == [4, 5]
    assert [record.levelname for record in caplog.records if "stats failed" in record.message] == ["ERROR"]
