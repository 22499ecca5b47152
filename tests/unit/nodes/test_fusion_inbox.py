"""What the fusion node's inbox makes of messages, before its loop sees them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.fusing import manifest
from vp_mqtt.config.live_settings import live_fusion_settings
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.integrations.home_assistant import BIRTH_TOPIC
from vp_mqtt.mqtt.flood_guard import STRANGERS, Source
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.fusion_inbox import (
    BundleArrived,
    Event,
    FusionInbox,
    HomeAssistantStarted,
    MessageArrived,
    SourceFlooded,
)
from vp_mqtt.protocol.messages import MessageError
from vp_mqtt.protocol.site_settings import MAX_SETTINGS_BYTES
from vp_mqtt.protocol.topics import Kind, Topic

_BURST = 500


class Known:
    """The camera and the node that are known."""

    def knows_camera(self, name: str) -> bool:
        return name == "cam0"

    def may_announce(self, name: str) -> bool:
        return name != "unplanned"

    def knows_node(self, name: str) -> bool:
        return name == "v0"


class Entrance:
    """An inbox, and what it reported."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []
        self.flooded = 0
        self.blocked: list[Source] = []
        self.inbox = FusionInbox(
            Known(),
            on_refused=lambda source, reason: self.refused.append((source, reason)),
            on_flooded=self._count_flooded,
            on_block=self.blocked.append,
        )

    def _count_flooded(self) -> None:
        self.flooded += 1

    def receive(self, topic: str, payload: bytes = b"", at: float = 0.0, *, retained: bool = False) -> None:
        self.inbox.receive(Received(topic, payload, None, at, retained))
        self.inbox.hand_over()

    def events(self) -> list[Event]:
        events = []
        while some := self.inbox.get(0):
            events += some
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
    unnamed = "unknown sources of vote messages"
    assert [topic for topic, _ in entrance.refused] == [topics[0], unnamed, unnamed, topics[3]]


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
    assert (entrance.blocked, entrance.flooded) == ([(Kind.VOTE, "3")], 3)
    events = entrance.events()
    assert events[0] == SourceFlooded((Kind.VOTE, "3"))
    assert Counter(event.topic.variant for event in events if isinstance(event, MessageArrived))[2] == 1
    assert entrance.inbox.next_unblock() == 10.0
    assert entrance.inbox.unblock(9.9) == set()
    assert entrance.inbox.unblock(10.0) == {(Kind.VOTE, "3")}
    assert entrance.inbox.next_unblock() is None


def test_a_flood_with_invalid_camera_names_is_blocked_too() -> None:
    entrance = Entrance()
    for _ in range(_BURST + 3):
        entrance.receive("vp/home/camera/-bad/vote/3")
    assert (entrance.blocked, entrance.flooded) == ([(Kind.VOTE, "3")], 3)
    assert len(entrance.refused) == _BURST
    assert entrance.events() == [SourceFlooded((Kind.VOTE, "3"))]


@pytest.mark.parametrize("index", ["1" * 5000, "10000", "005", "³", "x"])
def test_a_flood_on_topics_that_name_no_variant_is_blocked_and_no_variants_votes_with_it(index: str) -> None:
    entrance = Entrance()
    for _ in range(_BURST + 3):
        entrance.receive(f"vp/home/camera/cam0/vote/{index}")
    entrance.receive("vp/home/camera/cam0/vote/5")
    assert (entrance.blocked, entrance.flooded) == ([(Kind.VOTE, STRANGERS)], 3)
    assert set(entrance.refused) == {("unknown sources of vote messages", "unknown topic")}
    assert [event.topic.variant for event in entrance.events() if isinstance(event, MessageArrived)] == [5]
    assert entrance.inbox.unblock(10.0) == {(Kind.VOTE, STRANGERS)}


def test_announced_frames_allow_more_votes() -> None:
    entrance = Entrance()
    for second in range(5):
        for _ in range(100):
            entrance.receive("vp/home/camera/cam0/vote/3", at=float(second))
            entrance.receive("vp/home/camera/cam0/announce", at=float(second))
    for _ in range(_BURST):
        entrance.receive("vp/home/camera/cam0/vote/3", at=4.0)
    assert entrance.blocked == []


def test_announces_come_before_votes_and_statuses() -> None:
    entrance = Entrance()
    for topic in ("camera/cam0/vote/3", "node/v0/status", "camera/cam0/announce"):
        entrance.receive(f"vp/home/{topic}")
    kinds = [event.topic.kind for event in entrance.events() if isinstance(event, MessageArrived)]
    assert kinds == [Kind.ANNOUNCE, Kind.VOTE, Kind.STATUS]


@pytest.mark.parametrize("topic", ["camera/cam0/announce", "camera/cam0/vote/3"])
def test_what_must_be_fresh_is_refused_if_it_was_retained(topic: str) -> None:
    entrance = Entrance()
    entrance.receive(f"vp/home/{topic}", retained=True)
    entrance.receive("vp/home/node/v0/status", retained=True)
    assert len(entrance.events()) == 1
    ((source, reason),) = entrance.refused
    assert source == f"vp/home/{topic}"
    assert reason.startswith("retained")


@pytest.mark.parametrize("kind", ["announce", "vote/3"])
def test_a_camera_that_can_have_no_labels_is_refused_without_a_line_for_each_name(kind: str) -> None:
    entrance = Entrance()
    entrance.receive(f"vp/home/camera/unplanned/{kind}")
    assert entrance.events() == []
    assert [reason for _, reason in entrance.refused] == ["camera of another site plan"]


@pytest.mark.parametrize(
    ("topic", "limit"), [("camera/cam0/announce", 4096), ("camera/cam0/vote/3", 1028), ("node/v0/status", 24_576)]
)
def test_messages_that_are_too_large_are_refused_without_being_read(topic: str, limit: int) -> None:
    entrance = Entrance()
    entrance.receive(f"vp/home/{topic}", b"x" * limit)
    entrance.receive(f"vp/home/{topic}", b"x" * (limit + 1))
    assert len(entrance.events()) == 1
    assert [reason for _, reason in entrance.refused] == ["too large"]


@pytest.mark.parametrize("size", [MAX_SETTINGS_BYTES + 1, 16_994, 32_000, 1_000_000])
def test_settings_that_are_too_large_come_as_such_so_that_the_status_can_say_it(size: int) -> None:
    entrance, live = Entrance(), live_fusion_settings(FusionSettings())
    entrance.receive("vp/home/settings/fusion", b'{"version": 1, "changed": 0}'.ljust(size))
    (event,) = entrance.events()
    assert isinstance(event, MessageArrived)
    assert len(event.message.payload) <= MAX_SETTINGS_BYTES + 1, "it takes no more room than a valid one"
    with pytest.raises(MessageError, match=r"^too large$"):
        live.take(event.message.payload)
    assert live.in_force.refused == "too large"


@pytest.mark.parametrize(
    ("topics", "burst", "source"),
    [
        (["camera/cam0/announce"], 150, (Kind.ANNOUNCE, "cam0")),
        (["node/v0/status"], 100, (Kind.STATUS, "v0")),
        ([f"camera/new{n}/announce" for n in range(400)], 256, (Kind.ANNOUNCE, STRANGERS)),
        ([f"node/new{n}/status" for n in range(700)], 300, (Kind.STATUS, STRANGERS)),
    ],
    ids=["announces of a camera", "statuses of a node", "new cameras", "new nodes"],
)
def test_a_flood_of_any_kind_is_blocked_and_others_pass(topics: list[str], burst: int, source: Source) -> None:
    entrance = Entrance()
    for number in range(burst + 3):
        entrance.receive(f"vp/home/{topics[number % len(topics)]}")
    assert (entrance.blocked, entrance.flooded) == ([source], 3)
    entrance.events()
    for topic in ("camera/cam0/vote/3", "node/v0/stats"):
        entrance.receive(f"vp/home/{topic}")
    if source[1] == STRANGERS:
        for topic in ("camera/cam0/announce", "node/v0/status"):
            entrance.receive(f"vp/home/{topic}")
    assert len(entrance.events()) == (4 if source[1] == STRANGERS else 2)
    assert entrance.flooded == 3
    assert entrance.inbox.unblock(10.0) == {source}


def test_the_statuses_of_all_nodes_that_come_at_once_at_the_start_are_kept() -> None:
    entrance = Entrance()
    for number in range(300):
        entrance.receive(f"vp/home/node/n{number}/status")
    assert len(entrance.events()) == 300


def test_messages_of_one_source_that_wait_are_bounded_and_the_oldest_dropped() -> None:
    entrance = Entrance()
    for number in range(70):
        entrance.receive("vp/home/camera/cam0/announce", str(number).encode())
    entrance.receive("vp/home/camera/new/announce", b"new")
    waiting = [event.message.payload for event in entrance.events() if isinstance(event, MessageArrived)]
    assert entrance.inbox.dropped == 70 - 64
    assert waiting[:2] == [b"6", b"new"]
    assert len(waiting) == 65


def test_a_closed_inbox_hands_out_nothing() -> None:
    entrance = Entrance()
    entrance.receive("vp/home/camera/cam0/announce")
    entrance.inbox.close()
    assert entrance.inbox.get(None) == []


def test_states_come_before_the_announces_that_follow_them_and_only_those_that_the_broker_had_kept() -> None:
    entrance = Entrance()
    for camera in ("cam0", "door"):
        entrance.receive(f"vp/home/camera/{camera}/state", b"{}", retained=True)
    entrance.receive("vp/home/camera/cam0/announce")
    entrance.receive("vp/home/camera/cam0/state", b"{}")
    kinds = [event.topic.kind for event in entrance.events() if isinstance(event, MessageArrived)]
    assert kinds == [Kind.STATE, Kind.STATE, Kind.ANNOUNCE]
    assert entrance.refused == []


def test_a_flood_of_states_that_strangers_left_at_the_broker_is_left_there() -> None:
    entrance = Entrance()
    for number in range(3000):
        entrance.receive(f"vp/home/camera/cam{number}/state", b"{}", retained=True)
    assert entrance.blocked == [(Kind.STATE, "+")]
    assert entrance.flooded > 1000
    entrance.receive("vp/home/camera/cam0/announce")
    assert any(isinstance(e, MessageArrived) and e.topic.kind is Kind.ANNOUNCE for e in entrance.events())
