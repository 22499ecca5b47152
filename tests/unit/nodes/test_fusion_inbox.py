"""What the fusion node's inbox makes of messages, before its loop sees them."""

from __future__ import annotations

from collections import Counter

from tests.support.fusing import manifest
from vp_mqtt.integrations.home_assistant import BIRTH_TOPIC
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.fusion_inbox import (
    BundleArrived,
    Event,
    FusionInbox,
    HomeAssistantStarted,
    MessageArrived,
    VariantFlooded,
)
from vp_mqtt.protocol.topics import Kind, Topic

_BURST = 500


class Entrance:
    """An inbox, and what it reported."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []
        self.flooded = 0
        self.blocked: list[int] = []
        self.inbox = FusionInbox(
            on_refused=lambda source, reason: self.refused.append((source, reason)),
            on_flooded=self._count_flooded,
            on_block=self.blocked.append,
        )

    def _count_flooded(self) -> None:
        self.flooded += 1

    def receive(self, topic: str, payload: bytes = b"", at: float = 0.0) -> None:
        self.inbox.receive(Received(topic, payload, None, at))

    def events(self) -> list[Event]:
        events = []
        while (event := self.inbox.get(0)) is not None:
            events.append(event)
        return events


def test_a_message_comes_with_its_topic_parsed() -> None:
    entrance = Entrance()
    entrance.receive("vp/home/camera/cam0/vote/3", b"vote", at=2.0)
    expected = MessageArrived(
        Topic("home", Kind.VOTE, "cam0", 3), Received("vp/home/camera/cam0/vote/3", b"vote", None, 2.0)
    )
    assert entrance.events() == [expected]


def test_a_topic_that_is_not_ours_is_refused() -> None:
    entrance = Entrance()
    topics = ["vp/home/camera/-bad/vote/3", "vp/home/camera/cam0/vote/x", "vp/home/camera/cam0/vote/³", "elsewhere"]
    for topic in topics:
        entrance.receive(topic)
    assert entrance.events() == []
    assert [topic for topic, _ in entrance.refused] == topics


def test_the_nodes_own_events_come_before_messages() -> None:
    entrance = Entrance()
    entrance.receive("vp/home/camera/cam0/announce")
    arrived = BundleArrived(manifest((1.0,), 2))
    entrance.inbox.put(arrived)
    events = entrance.events()
    assert events[0] is arrived
    assert len(events) == 2


def test_only_home_assistants_birth_is_an_event() -> None:
    entrance = Entrance()
    for payload in (b"offline", b"online", b""):
        entrance.receive(BIRTH_TOPIC, payload)
    assert entrance.events() == [HomeAssistantStarted()]
    assert entrance.refused == []


def test_a_flood_from_one_variant_is_blocked_once_and_the_others_votes_pass() -> None:
    entrance = Entrance()
    for _ in range(_BURST + 3):
        entrance.receive("vp/home/camera/cam0/vote/3")
    entrance.receive("vp/home/camera/cam0/vote/2")
    assert (entrance.blocked, entrance.flooded) == ([3], 3)
    events = entrance.events()
    assert events[0] == VariantFlooded(3)
    assert Counter(event.topic.variant for event in events if isinstance(event, MessageArrived))[2] == 1
    assert entrance.inbox.next_unblock() == 10.0
    assert entrance.inbox.unblock(9.9) == set()
    assert entrance.inbox.unblock(10.0) == {3}
    assert entrance.inbox.next_unblock() is None


def test_a_flood_with_invalid_camera_names_is_blocked_too() -> None:
    entrance = Entrance()
    for _ in range(_BURST + 3):
        entrance.receive("vp/home/camera/-bad/vote/3")
    assert (entrance.blocked, entrance.flooded) == ([3], 3)
    assert len(entrance.refused) == _BURST
    assert entrance.events() == [VariantFlooded(3)]


def test_announced_frames_allow_more_votes() -> None:
    entrance = Entrance()
    for _ in range(_BURST):
        entrance.receive("vp/home/camera/cam0/vote/3")
        entrance.receive("vp/home/camera/cam0/announce")
    for _ in range(_BURST):
        entrance.receive("vp/home/camera/cam0/vote/3")
    assert entrance.blocked == []


def test_messages_over_the_limit_are_dropped_and_counted() -> None:
    entrance = Entrance()
    for _ in range(300):
        entrance.receive("vp/home/node/v0/status")
    assert entrance.inbox.dropped == 300 - 256
    assert len(entrance.events()) == 256


def test_a_closed_inbox_hands_out_nothing() -> None:
    entrance = Entrance()
    entrance.receive("vp/home/camera/cam0/announce")
    entrance.inbox.close()
    assert entrance.inbox.get(None) is None
