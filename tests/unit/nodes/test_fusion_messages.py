from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from tests.support.fusing import manifest, windows_of
from tests.support.statuses import status_of
from vp_mqtt.integrations.announcer import Announcer
from vp_mqtt.integrations.home_assistant import Validity, parse_components
from vp_mqtt.logs import Refusals
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.fusion_inbox import FusionInbox, MessageArrived
from vp_mqtt.nodes.fusion_messages import FusionMessages
from vp_mqtt.nodes.sharing import Sharing
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import State, StatsMessage
from vp_mqtt.protocol.presence import Presence, PresenceMessage

FAMILY = manifest((1.0, 1.0), 2)


class Site:
    """What a fusion node hears of boards that run variant 1."""

    def __init__(
        self, sharing: object = None, home: Announcer | None = None, cameras: tuple[str, ...] | None = None
    ) -> None:
        self.windows, self.handover = windows_of(FAMILY, deadline=0.25, cameras=cameras)
        shared = cast("Sharing | None", sharing)
        self.messages = FusionMessages(self.windows, self.handover, Refusals(), home, shared)

    def hear(self, topic: str, payload: bytes, now: float, correlation: bytes | None = None) -> None:
        message = Received(topic, payload, correlation, now)
        self.messages.handle(MessageArrived(topics.parse(topic), message), now)

    def status(
        self,
        name: str,
        now: float,
        variant: int | None = 1,
        state: State = State.ONLINE,
        *,
        is_replica: bool | None = None,
        claim: int | None = None,
    ) -> None:
        runs = {"bundle": FAMILY.name, "digest": FAMILY.short_digest.hex()}
        status = status_of(name, state=state, variant=variant, is_replica=is_replica, claim=claim, **runs)
        self.hear(f"vp/home/node/{name}/status", status.encode(), now)

    def stats(self, name: str, now: float) -> None:
        self.hear(f"vp/home/node/{name}/stats", StatsMessage(node=name, uptime_s=1.0, counts={}).encode(), now)

    def vote(self, now: float) -> None:
        vote = votes.encode(votes.select(np.array([0.9, 0.1]), 1, FAMILY.short_digest))
        self.hear("vp/home/camera/cam0/vote/1", vote, now, FrameId(1, int(now)).encode())

    def presence(self, now: float) -> dict[str, Presence]:
        self.messages.tick(now)
        return self.messages.nodes.presences("variant", now)


@pytest.mark.parametrize("has_twin", [False, True])
def test_a_vote_shows_that_a_board_is_alive_unless_its_twin_may_have_sent_it(*, has_twin: bool) -> None:
    site = Site()
    site.status("a", 0.0)
    if has_twin:
        site.status("b", 0.0)
    for now in range(1, 40):
        site.vote(float(now))
        if has_twin:
            site.stats("b", float(now))
        found = site.presence(float(now))
    assert found["a"] is (Presence.SILENT if has_twin else Presence.ONLINE)
    assert found.get("b", Presence.ONLINE) is Presence.ONLINE


def test_what_is_shared_is_looked_at_with_each_tick() -> None:
    ticks: list[float] = []
    Site(SimpleNamespace(tick=ticks.append)).messages.tick(1.0)
    assert ticks == [1.0]


def running(site: Site) -> set[str]:
    return set(site.messages.nodes.in_place((FAMILY.short_digest, 1)))


def test_a_board_that_chooses_its_variant_may_lose_it_and_its_will_does_not_know_it() -> None:
    site = Site()
    site.status("a", 0.0, variant=None)
    assert site.presence(0.0) == {"a": Presence.ONLINE}
    assert running(site) == set()
    site.status("a", 1.0, variant=1)
    assert running(site) == {"a"}
    site.status("a", 2.0, variant=None)
    assert running(site) == set()
    site.status("a", 3.0, variant=1)
    site.status("a", 4.0, variant=None, state=State.OFFLINE)
    assert running(site) == set()
    assert site.presence(4.0)["a"] is Presence.OFFLINE


@pytest.mark.parametrize(
    ("claim", "advice"),
    [(None, "set --variant, or leave the choice to --variant auto"), (0, "set --variant in place of --variant auto")],
)
def test_a_weak_choice_of_variants_is_said_once(
    claim: int | None, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    site = Site()
    for now in range(200):
        site.status("a", float(now), variant=0, claim=claim)
        site.messages.tick(float(now))
    said = [record.getMessage() for record in caplog.records if "usually be right more often" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(f"1 of the 2 variants of '{FAMILY.name}' run; with as many boards, 1 in place of 0 would")
    assert said[0].endswith(advice)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_the_board_that_does_not_share_a_variants_frames_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    site = Site()
    for name in ("r1", "r2", "r3"):
        site.status(name, 0.0, is_replica=True)
    assert lines(caplog) == []
    site.status("r4", 1.0)
    assert lines(caplog) == [
        (
            "variant 1 runs on several boards: r1, r2, r3 and 1 more; the first vote counts; --replica shares frames, "
            "but not those of r4, without the flag"
        )
    ]


@pytest.mark.parametrize("votes_each", [1, 2])
def test_replicas_that_work_on_the_same_frames_are_named_once(
    votes_each: int, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.status("r1", 0.0, is_replica=True)
    site.status("r2", 0.0, is_replica=True)
    for now in range(40):
        for _ in range(votes_each):
            site.vote(float(now))
    expected = (
        "several of the boards that share the frames of variant 1 work on the same ones: give all of them the same "
        "--cameras, or none: r1, r2"
    )
    assert lines(caplog) == ([expected] if votes_each == 2 else [])


def test_a_board_that_is_heard_again_after_its_bundle_made_room_for_others_is_waited_for_when_that_is_back() -> None:
    site = Site()
    site.status("a", 0.0)
    assert site.presence(100.0)["a"] is Presence.SILENT
    for name in ("b", "c", "d"):
        other = manifest((1.0, 1.0), 2, name=name)
        site.windows.add_family(other, 100.0)
        site.windows.set_node(name, (other.short_digest, 0), 100.0)
    assert site.handover.find(FAMILY.short_digest) is None
    site.stats("a", 101.0)
    assert site.presence(101.0)["a"] is Presence.ONLINE
    site.windows.add_family(FAMILY, 102.0)
    site.stats("a", 102.0)
    family = site.handover.find(FAMILY.short_digest)
    assert family is not None
    assert family.liveness.alive() == {1}


def test_home_assistant_hears_of_cameras_that_camera_nodes_name_and_that_can_have_labels() -> None:
    home = Announcer("home", "fusion", Validity(label=5.0, state=90.0), 0.0)
    site = Site(home=home, cameras=("door", "gate", "yard"))
    named = [("c0", "camera", ("door",)), ("c1", "camera", ("gate", "invented")), ("x", "sensor", ("yard",))]
    for name, role, regions in named:
        site.hear(f"vp/home/node/{name}/status", status_of(name, role, camera="cam", regions=regions).encode(), 0.0)
    (message,) = home.messages_due(10.0)
    found = {key.removesuffix("-label") for key in parse_components("home", message.payload) if key.endswith("-label")}
    assert found == {"vp-home_door", "vp-home_gate"}


def test_home_assistant_hears_what_becomes_of_a_board_without_a_variant() -> None:
    home = Announcer("home", "fusion", Validity(label=5.0, state=90.0), 0.0)
    site = Site(home=home)

    def said(now: float) -> dict[str, str]:
        site.messages.tick(now)
        sent = [message for message in home.messages_due(now) if message.topic.endswith("/presence")]
        return {one.topic.split("/")[3]: str(PresenceMessage.decode(one.payload).presence) for one in sent}

    site.status("a", 0.0, variant=1)
    site.status("spare", 0.0, variant=None)
    assert said(5.0) == {"a": "online", "spare": "online"}
    # The family that was pushed has fewer variants.
    site.status("a", 10.0, variant=None)
    assert site.messages.nodes.listened_to() == {"a", "spare"}
    for now in range(10, 50, 5):
        site.stats("a", float(now))
        found = said(float(now))
        assert found == ({"spare": "silent"} if now == 20 else {})
    site.status("a", 50.0, variant=None, state=State.OFFLINE)
    assert said(50.0) == {"a": "offline"}
    assert said(60.0) == {"a": "offline", "spare": "silent"}


def test_camera_nodes_are_known_by_a_valid_status_until_it_is_cleared() -> None:
    site = Site()
    topics_of = {name: f"vp/home/node/{name}/status" for name in ("c0", "c1")}
    site.hear(topics_of["c0"], status_of("c0", "camera", camera="cam0").encode(), 0.0)
    site.hear(topics_of["c1"], b"{}", 0.0)
    assert [site.messages.knows_node(name) for name in ("c0", "c1")] == [True, False]
    assert site.messages.nodes.names() == ["c0"]
    assert site.messages.nodes.listened_to() == set()
    site.hear(topics_of["c0"], b"", 1.0)
    assert not site.messages.knows_node("c0")
    assert site.messages.nodes.names() == []


def test_the_statuses_of_many_camera_nodes_all_come_once_the_first_ones_are_known() -> None:
    site = Site()
    messages, refused = site.messages, Refusals()
    inbox = FusionInbox(messages, on_refused=refused.add, on_flooded=lambda: None, on_block=lambda _: None)
    for now in (0.0, 20.0):
        # All that is retained comes with the subscription, and again when that is renewed.
        inbox.unblock(now)
        for name in (f"c{number}" for number in range(500)):
            payload = status_of(name, "camera", camera=name).encode()
            inbox.receive(Received(f"vp/home/node/{name}/status", payload, None, now, retained=True))
        inbox.hand_over()
        while events := inbox.get(0):
            for event in events:
                if isinstance(event, MessageArrived):
                    messages.handle(event, now)
    assert all(messages.knows_node(f"c{number}") for number in range(500))
