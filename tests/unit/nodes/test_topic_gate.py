"""What a node reads of a topic that a client floods."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from vp_mqtt.nodes.topic_gate import LIMIT, TopicGate


class Session:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_back = threading.Event()

    def subscribe(self, topics: Sequence[str], qos: int = 0) -> None:
        self.calls.append(f"subscribe {topics[0]} {qos}")

    def unsubscribe(self, topic: str) -> None:
        self.calls.append(f"unsubscribe {topic}")

    def note(self, *, is_flooded: bool) -> None:
        self.calls.append("flooded" if is_flooded else "back")
        if not is_flooded:
            self.is_back.set()


def test_what_is_due_passes_for_ever() -> None:
    session = Session()
    gate = TopicGate("a", lambda: session)
    assert all(gate.may_pass(second / LIMIT.per_second) for second in range(500))
    assert session.calls == []


def test_a_flood_is_left_at_the_broker_for_a_while() -> None:
    session = Session()
    gate = TopicGate("a", lambda: session, block_s=0.05)
    gate.on_flood = session.note
    now = time.monotonic()
    assert [gate.may_pass(now) for _ in range(LIMIT.burst + 100)] == [True] * LIMIT.burst + [False] * 100
    assert session.calls[:2] == ["unsubscribe a", "flooded"]
    assert session.is_back.wait(5)
    assert session.calls[2:] == ["subscribe a 1", "back"]
    assert gate.may_pass(time.monotonic())
