"""Statuses that a broker does not deliver to a wildcard are asked for by their exact topic, once a node is heard."""

from __future__ import annotations

from collections.abc import Sequence

from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.retained_finder import RetainedFinder

STATS, STATUS = "vp/home/node/variant-1/stats", "vp/home/node/variant-1/status"


class Subscriptions:
    def __init__(self) -> None:
        self.log: list[str] = []

    def subscribe(self, topics: Sequence[str], qos: int = 0, *, retained: bool = True) -> None:
        assert qos == 1
        assert retained
        self.log += [f"+{topic}" for topic in topics]

    def unsubscribe(self, topic: str) -> None:
        self.log.append(f"-{topic}")


def received(topic: str, *, retained: bool = False) -> Received:
    return Received(topic, b"{}", None, 0.0, retained)


def test_the_status_of_a_node_that_is_heard_is_asked_for_once_and_until_it_comes() -> None:
    subscriptions = Subscriptions()
    passed: list[str] = []
    receive = RetainedFinder(lambda: subscriptions).passing(lambda message: passed.append(message.topic))
    for topic in (STATS, STATS, "vp/home/camera/cam0/label", STATUS, STATUS, STATS):
        receive(received(topic))
    assert subscriptions.log == [f"+{STATUS}", f"-{STATUS}"]
    assert len(passed) == 6


def test_nothing_is_asked_for_at_a_broker_that_delivers_what_it_retains() -> None:
    subscriptions = Subscriptions()
    finder = RetainedFinder(lambda: subscriptions)
    finder.note(received(STATUS, retained=True))
    finder.note(received(STATS))
    finder.note(received("vp/home/node/other/stats", retained=True))
    assert subscriptions.log == []


def test_a_flood_of_names_is_bounded() -> None:
    subscriptions = Subscriptions()
    finder = RetainedFinder(lambda: subscriptions)
    for number in range(3000):
        finder.note(received(f"vp/home/node/n{number}/stats"))
    assert len(subscriptions.log) == 1000
