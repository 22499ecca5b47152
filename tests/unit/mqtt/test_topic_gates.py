"""What is read of topics that a client floods."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from vp_mqtt.mqtt.flood_guard import Limit
from vp_mqtt.mqtt.message import Subscription
from vp_mqtt.mqtt.topic_gates import TopicGates

LIMIT = Limit(burst=5, per_second=2.0)


class Session:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_back = threading.Event()

    def subscribe(self, topics: Sequence[str], qos: int = 0, *, retained: bool = True) -> None:
        self.calls.append(f"subscribe {topics[0]} {qos} {retained}")

    def unsubscribe(self, topic: str) -> None:
        self.calls.append(f"unsubscribe {topic}")

    def note(self, topic: str, *, is_flooded: bool) -> None:
        self.calls.append(f"{topic} {'flooded' if is_flooded else 'back'}")
        if not is_flooded and topic == "b":
            self.is_back.set()


def test_what_is_due_passes_for_ever_and_so_do_topics_without_a_limit() -> None:
    session = Session()
    gates = TopicGates(lambda: session)
    gates.add(Subscription("a", limit=LIMIT))
    gates.add(Subscription("b/+"))
    assert all(gates.may_pass("a", second / LIMIT.per_second) for second in range(100))
    assert all(gates.may_pass("b/c", 0.0) for _ in range(100))
    assert session.calls == []


def test_topics_that_flood_are_left_at_the_broker_for_a_while_each_by_itself() -> None:
    session = Session()
    gates = TopicGates(lambda: session, block_s=0.5)
    gates.on_flood = session.note
    gates.add(Subscription("a", 1, retained=False, limit=LIMIT))
    gates.add(Subscription("b", limit=LIMIT))
    for topic in "ab":
        now = time.monotonic()
        assert [gates.may_pass(topic, now) for _ in range(100)] == [True] * 5 + [False] * 95
        time.sleep(0.01)
    assert session.calls == ["unsubscribe a", "a flooded", "unsubscribe b", "b flooded"]
    assert session.is_back.wait(5)
    assert session.calls[4:] == ["subscribe a 1 False", "a back", "subscribe b 0 True", "b back"]
    assert gates.may_pass("a", time.monotonic())


def test_a_topic_that_was_given_up_meanwhile_is_not_subscribed_to_again() -> None:
    session = Session()
    gates = TopicGates(lambda: session, block_s=0.02)
    gates.on_flood = session.note
    gates.add(Subscription("b", limit=LIMIT))
    now = time.monotonic()
    assert not all(gates.may_pass("b", now) for _ in range(10))
    gates.remove("b")
    assert session.is_back.wait(5)
    assert session.calls == ["unsubscribe b", "b flooded", "b back"]
