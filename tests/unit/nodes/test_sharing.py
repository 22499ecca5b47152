from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.fusing import manifest, windows_of
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.fusion.rendezvous import owner
from vp_mqtt.fusion.shards import SETTLE_S
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.sharing import Sharing
from vp_mqtt.nodes.stats import Stats
from vp_mqtt.nodes.status import NodeStatus
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import State, StatusMessage


class Member:
    """A fusion node that shares cameras, without a broker; its clock runs ahead of the machine's."""

    def __init__(self, cameras: str | None = "cam0,cam1", members: tuple[str, ...] | None = None) -> None:
        self.beats: list[float] = []
        self.status = NodeStatus(site="home", name="a", role="fusion", stats_every_s=1.0)
        self.stats = Stats()
        self.now = time.monotonic()  # not before the stats begin: they would be sent before that
        self.announced: Collection[str] | None = ()
        self.taken: set[str] = set()
        self.released: set[str] = set()
        node = SimpleNamespace(
            name="a",
            is_connected=True,
            session=SimpleNamespace(connections=1),
            stats=self.stats,
            publish_stats=lambda: self.beats.append(self.now),
            change_status=self.change,
            set_problem=self.status.set_problem,
            refusals=self.stats.refusals,
        )
        self.windows, _ = windows_of(manifest((1.0,), 2), deadline=0.25)
        output = SimpleNamespace(take=lambda cameras, _: self.taken.update(cameras), release=self.released.update)
        given = cast("Any", cameras)
        settings = FusionSettings(shard=True, stats_every=1.0, cameras=given, shard_members=members)
        self.sharing = Sharing(settings, cast("Any", node), self.windows, cast("Any", output))

    def said(self) -> StatusMessage:
        """Its status, as it is now."""
        return self.status.current

    def change(self, change: Callable[[NodeStatus], None]) -> None:
        change(self.status)

    def set_cameras(self, announced: Collection[str] | None, _voted: Collection[str] | None) -> None:
        self.announced = announced

    def hear(self, name: str, role: str, state: State = State.ONLINE, **more: object) -> None:
        """Another node's status comes."""
        fields = {"state": state, "node": name, "role": role, "version": "1", "host": "pi", "client_id": name}
        status = StatusMessage.model_validate({**fields, "instance": "0" * 8, "started": 0, **more})
        self.sharing.note_status(status, retained=False, now=self.now)

    def hear_member(self, name: str, owns: Iterable[str], *, yields: bool = True) -> None:
        """The status of another member comes, which yields to this one."""
        mine = {"a": self.status.current.shard} if yields else {}
        self.hear(name, "fusion", shard="1" * 8, yields=mine, owns=tuple(owns))

    def settle(self) -> None:
        """It has cameras."""
        for seconds in (0, 0.4, 0.01):
            self.turn(seconds)
            self.hear_itself()
        self.turn(0.01)

    def live(self, seconds: int) -> None:
        """So many seconds pass, in which it hears itself."""
        for _ in range(seconds):
            self.turn(1.0)
            self.hear_itself()
            self.sharing.tick(self.now)
            self.turn(0.0)

    def turn(self, seconds: float) -> None:
        """A round of the node's loop, later."""
        self.now += seconds
        self.sharing.check(self.now)
        self.sharing.update(cast("Any", self), self.now)

    def hear_itself(self) -> None:
        """The stats that it has just sent come back."""
        message = self.stats.message("a", connections=1, more={})
        started = self.stats.sent_at(message) - message.uptime_s
        sent = message.model_copy(update={"uptime_s": self.now + 0.001 - started})
        self.sharing.note_stats("a", Received("t", sent.encode(), None, self.now + 0.001))


@pytest.fixture
def member() -> Member:
    return Member()


def test_it_waits_between_two_heartbeats_for_which_nothing_comes_back(member: Member) -> None:
    member.turn(0)
    began = member.now
    assert member.sharing.next_due(began) == pytest.approx(began + SETTLE_S)
    member.turn(0.5)
    assert member.sharing.next_due(member.now) == pytest.approx(began + 1.0)
    assert len(member.beats) == 1
    member.turn(0.5)
    assert len(member.beats) == 2


def test_it_has_cameras_when_it_has_heard_itself_twice_and_leaves_its_windows_when_it_was_not_heard(
    member: Member,
) -> None:
    member.turn(0)
    member.hear_itself()
    member.turn(0.4)
    assert member.status.current.yields == {}
    assert not member.sharing.owns("cam0", member.now)
    member.turn(0.01)
    member.hear_itself()
    member.turn(0.01)
    assert member.announced == member.taken == {"cam0", "cam1"}
    assert member.sharing.owns("cam0", member.now)
    member.windows.announce("cam0", Announce(FrameId(1, 0), 0.0), member.now)
    token = member.status.current.shard
    member.turn(2.5)
    assert not member.sharing.owns("cam0", member.now)
    assert member.windows.counts["abandoned"] == 1
    assert member.windows.expire(member.now + 1) == []
    assert member.status.current.shard != token
    assert member.status.current.yields is None


# The other one has cam1 by the names, and this one cam0.
OTHER = next(name for name in map(str, range(100)) if owner(("a", name), "cam1") == name != owner(("a", name), "cam0"))


def test_a_camera_that_another_member_leaves_out_is_named_once_until_it_is_taken(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    member.settle()
    member.hear_member(OTHER, ())
    member.live(4)
    assert member.said().problem is None
    member.live(6)
    said = [one.getMessage() for one in caplog.records if "no labels" in one.getMessage()]
    assert said == [
        (
            f"camera cam1 has no labels: by the names it falls to {OTHER}, which does not take it; give all fusion "
            "nodes the same --cameras, or none"
        )
    ]
    assert member.said().problem == said[0]
    member.hear_member(OTHER, ("cam1",))
    member.live(1)
    assert member.said().problem is None


def test_a_member_that_others_do_not_yield_to_yet_leaves_nothing_out(member: Member) -> None:
    member.settle()
    member.hear_member(OTHER, (), yields=False)
    member.live(10)
    assert member.said().problem is None
    member.hear_member(OTHER, ())
    # It hangs: what it yields to is what was before.
    member.hear("hung", "fusion", shard="2" * 8, yields={"a": member.said().shard, OTHER: "0" * 8}, owns=())
    member.live(10)
    assert member.said().problem is None


def test_cameras_that_are_gone_leave_what_it_owns_and_their_states_stay_until_another_one_has_them() -> None:
    member = Member(cameras=None)
    member.settle()
    member.hear("camera", "camera", camera="cam", regions=("cam.a", "cam1"))
    member.live(3)
    assert member.said().owns == ("cam.a", "cam1")
    member.hear("camera", "camera", camera="cam", regions=("cam.b",))
    member.live(35)
    assert member.said().owns == ("cam.b",)
    member.hear("camera", "camera", State.OFFLINE, camera="cam", regions=("cam.b",))
    member.live(35)
    assert member.said().owns == ()
    assert member.released == set()
    member.hear_member(OTHER, ())
    member.live(3)
    assert "cam1" in member.released


@pytest.mark.parametrize("names", [None, ("a", OTHER)])
def test_where_the_members_are_named_no_other_node_can_keep_cameras_from_them(names: tuple[str, ...] | None) -> None:
    member = Member(members=names)
    member.settle()
    member.hear_member("board", (), yields=False)
    member.turn(0.0)
    is_kept = [not member.sharing.owns(camera, member.now) for camera in ("cam0", "cam1")]
    assert is_kept == [names is None] * 2
    assert member.stats.refusals.counts["refused"] == (names is not None)
    member.hear_member(OTHER, ())
    member.turn(0.0)
    assert not member.sharing.owns("cam1", member.now)
