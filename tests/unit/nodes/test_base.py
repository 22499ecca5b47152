"""What all nodes do beside their work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import cast

import pytest

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.nodes import base, signals
from vp_mqtt.nodes.base import Node
from vp_mqtt.protocol.messages import State, StatsMessage, StatusMessage


class Session:
    """Keeps what is published."""

    connections = 1

    def __init__(self, _broker: object, **_: object) -> None:
        self.published: list[Outgoing] = []

    def start(self) -> None:
        pass

    def stop(self, last: Outgoing, **_: object) -> None:
        self.published.append(last)

    def publish(self, message: Outgoing) -> None:
        self.published.append(message)

    set_birth = publish


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


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "Session", Session)
    monkeypatch.setattr(base, "_notify_systemd", lambda *_: None)
    monkeypatch.setattr(signals, "handle", lambda _: None)


def published(node: Node) -> list[Outgoing]:
    return cast("Session", cast("object", node.session)).published


def test_stats_go_on_after_some_that_could_not_be_made_which_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
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
    stats = [message for message in published(node) if message.topic == node.topics.stats("v0")]
    sent = [StatsMessage.decode(message.payload).counts["frames"] for message in stats]
    assert sent[:2] == [4, 5]
    assert [record.levelname for record in caplog.records if "stats failed" in record.message] == ["ERROR"]


@pytest.mark.parametrize("stops", [False, True])
def test_a_wrong_status_is_put_right_but_not_after_the_goodbye(*, stops: bool) -> None:
    making, may_go, made = threading.Event(), threading.Event(), threading.Event()

    def more_counts() -> Mapping[str, int]:
        if making.is_set():
            made.set()
        making.set()
        assert may_go.wait(30)
        return {}

    node = new_node(more_counts)
    others = set(threading.enumerate())
    node.start(BrokerOptions())
    assert making.wait(30)
    own = node._status.message(State.ONLINE).payload
    for payload in (own, StatusMessage.decode(own).model_copy(update={"instance": "00000000"}).encode()):
        node._receive(Received(node.topics.status("v0"), payload, None, 0.0))
    (stats,) = (thread for thread in set(threading.enumerate()) - others if thread.name == "stats")
    if stops:
        node.stop()
    may_go.set()
    if stops:
        stats.join(30)
    else:
        assert made.wait(30)
        node.stop()
    statuses = [message for message in published(node) if message.topic == node.topics.status("v0")]
    states = [StatusMessage.decode(message.payload).state for message in statuses]
    assert states == ([State.STOPPED] if stops else [State.ONLINE, State.STOPPED])
