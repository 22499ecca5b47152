from __future__ import annotations

from typing import Any

import pytest

from tests.support.labels import label
from vp_mqtt.overview.node_state import note_of
from vp_mqtt.overview.site_overview import Overview
from vp_mqtt.protocol.messages import State, StatsMessage, StatusMessage

STATS_EVERY_S = 5.0


def status(
    role: str, name: str | None = None, state: State = State.ONLINE, variant: int | None = None, **more: object
) -> StatusMessage:
    fields = {
        "state": state,
        "node": name or role,
        "role": role,
        "version": "0.1.0",
        "host": "pi",
        "client_id": f"vp-home-{name or role}",
        "instance": "0000002a",
        "started": 1.0,
        "variant": variant,
        "stats_every_s": STATS_EVERY_S,
        **more,
    }
    return StatusMessage.model_validate(fields)


class Heard:
    """A site that an overview listens to; everything that is online keeps sending its stats."""

    def __init__(self) -> None:
        self.now = 100.0
        self.overview = Overview("home", now=self.now)
        self.alive: set[str] = set()

    def status(self, role: str, name: str | None = None, *, retained: bool = False, **more: object) -> None:
        message = status(role, name, **more)  # type: ignore[arg-type]
        self.overview.note_status(message, retained=retained, now=self.now)
        if message.state is State.ONLINE and not retained:
            self.alive.add(message.node)
        else:
            self.alive.discard(message.node)

    def all_online(self) -> None:
        self.status("camera")
        self.status("fusion")
        for variant in range(3):
            self.status("variant", f"v{variant}", variant=variant)

    def wait(self, seconds: float, *, labels: bool = True) -> list[str]:
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 1.0)
            for node in self.alive:
                self.overview.note_stats(StatsMessage(node=node, uptime_s=1.0, counts={}), retained=False, now=self.now)
            if labels:
                self.overview.note_label(label("Coat"), self.now, 0.02)
        return self.overview.problems(self.now)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_a_site_that_is_well_has_no_problems(heard: Heard) -> None:
    heard.all_online()
    assert heard.wait(60) == []
    assert heard.overview.labels_per_s(heard.now) == pytest.approx(1.0, abs=0.3)


def test_a_site_of_which_nothing_is_heard(heard: Heard) -> None:
    assert heard.wait(2, labels=False) == []
    assert heard.wait(2, labels=False) == ["nothing is heard of site 'home': is --site right, does a node run?"]


def test_labels_without_the_right_to_read_statuses_are_no_problem(heard: Heard) -> None:
    assert heard.wait(20) == []


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("fusion", "no fusion node: start vp-fusion"),
        ("camera", "no camera node: start vp-camera"),
        ("variant", "vp-node"),
    ],
)
def test_a_kind_of_node_that_was_never_there_is_named(heard: Heard, missing: str, said: str) -> None:
    for role in {"fusion", "camera", "variant"} - {missing}:
        heard.status(role, variant=0 if role == "variant" else None)
    problems = heard.wait(4, labels=False)
    assert len(problems) == 1
    assert said in problems[0]


def test_a_fusion_node_that_dies_is_named(heard: Heard) -> None:
    heard.all_online()
    heard.wait(10)
    heard.status("fusion", state=State.OFFLINE)
    assert heard.wait(1, labels=False) == ["no fusion node is online: 'fusion' is offline"]


def test_a_retained_status_of_a_board_that_lost_power_with_the_broker_does_not_count(heard: Heard) -> None:
    heard.all_online()
    heard.status("variant", "v1", variant=1, retained=True)
    assert heard.wait(10) == []
    assert heard.wait(6) == ["variant 1 ('v1') is silent"]


def test_all_nodes_of_a_kind_silent(heard: Heard) -> None:
    heard.all_online()
    heard.status("camera", retained=True)
    assert "no camera node is online: 'camera' is silent" in heard.wait(16, labels=False)


def test_twins_are_named(heard: Heard) -> None:
    heard.all_online()
    heard.status("fusion", "fusion-2")
    heard.status("variant", "other", variant=2)
    problems = heard.wait(5)
    assert problems == [
        "2 fusion nodes (fusion, fusion-2): every frame gets a label from each; stop one, or start all with --shard",
        "variant 2 runs on 2 boards (other, v2): the first vote counts",
    ]


def test_one_that_does_not_share_is_named_among_those_that_do(heard: Heard) -> None:
    heard.all_online()
    heard.status("fusion", shard="0" * 8, owns=("cam0",))
    heard.status("fusion", "fusion-2", shard="1" * 8, owns=())
    heard.status("fusion", "fusion-3")
    heard.status("variant", "v2", variant=2, is_replica=True)
    heard.status("variant", "other", variant=2)
    assert heard.wait(5) == [
        (
            "3 fusion nodes (fusion, fusion-2, fusion-3): every frame gets 2 labels, as not all share the cameras; "
            "start fusion-3 with --shard, too"
        ),
        "variant 2 runs on 2 boards (other, v2): the first vote counts; not started with --replica: other",
    ]


def test_fusion_nodes_that_share_cameras_and_boards_that_share_frames_are_no_twins(heard: Heard) -> None:
    heard.all_online()
    heard.status("fusion", shard="0" * 8, owns=("cam0",))
    heard.status("fusion", "fusion-2", shard="1" * 8, owns=tuple(f"cam{n}" for n in range(1, 6)))
    heard.status("variant", "v2", variant=2, is_replica=True)
    heard.status("variant", "other", variant=2, is_replica=True)
    assert heard.wait(5) == []
    notes = {node.status.node: note_of(node) for node in heard.overview.nodes(None, heard.now)}
    assert (notes["fusion"], notes["fusion-2"], notes["other"]) == ("cam0", "5 cameras", "replica")


def test_a_camera_without_pictures_says_so_itself(heard: Heard) -> None:
    heard.all_online()
    heard.status("camera", problem="no pictures: Connection refused")
    assert heard.wait(60, labels=False) == ["camera node 'camera': no pictures: Connection refused"]
    heard.status("camera")
    assert heard.wait(60) == []


def test_what_several_boards_say_is_said_once(heard: Heard) -> None:
    heard.all_online()
    for variant in range(2):
        heard.status("variant", f"v{variant}", variant=variant, problem="the pictures do not fit")
    assert heard.wait(5) == ["variant node 'v0' and 1 more: the pictures do not fit"]


def test_a_board_with_a_bundle_that_fusion_does_not_know_is_named(heard: Heard) -> None:
    heard.all_online()
    heard.status("fusion", bundle="new", digest="00000001", ready=("00000001", "00000002"))
    heard.status("variant", "v0", variant=0, bundle="old", digest="00000002")
    heard.status("variant", "v1", variant=1, bundle="odd", digest="00000003")
    assert heard.wait(5) == [
        "variant 1 ('v1') runs bundle 'odd', which the fusion node does not: its votes do not count"
    ]


def test_a_board_that_keeps_another_bundle_than_most_is_named_after_a_while(heard: Heard) -> None:
    heard.all_online()
    heard.status("fusion", bundle="new", digest="00000001", ready=("00000001", "00000002"))
    heard.status("variant", "v0", variant=0, bundle="old", digest="00000002")
    assert heard.wait(19) == []
    heard.status("fusion", bundle="new", digest="00000001", ready=("00000001", "00000002"), deadline_ms=100.0)
    assert heard.wait(3) == ["variant 0 ('v0') runs bundle 'old', most boards 'new': its votes do not count"]
    # The fusion node follows the others later.
    heard.status("fusion", bundle="old", digest="00000002", ready=("00000001", "00000002"))
    heard.status("variant", "v1", variant=1, bundle="new", digest="00000001")
    assert heard.wait(19) == []
    heard.status("variant", "v1", variant=1, bundle="old", digest="00000002")
    assert heard.wait(19) == []


def test_no_labels_although_all_is_online(heard: Heard) -> None:
    heard.all_online()
    assert heard.wait(4, labels=False) == []
    assert "no label yet" in heard.wait(2, labels=False)[0]
    heard.wait(3)
    assert "no label for 6 s" in heard.wait(6, labels=False)[0]


def test_labels_that_do_not_come_although_the_fusion_node_publishes_them(heard: Heard) -> None:
    heard.all_online()
    heard.wait(6, labels=False)
    for uptime, labels in ((1.0, 10), (2.0, 15)):
        stats = StatsMessage(node="fusion", uptime_s=uptime, counts={"labels": labels})
        heard.overview.note_stats(stats, retained=False, now=heard.now)
    (problem,) = heard.overview.problems(heard.now)
    assert problem.startswith(
        "no label yet, although the fusion node publishes them: are they passed on to this broker"
    )


def test_a_link_that_is_down_is_said_until_a_node_is_heard(heard: Heard) -> None:
    heard.all_online()
    assert heard.wait(4) == []
    heard.overview.note_link(heard.now, is_up=False)
    said = "the link between the site's broker and its head office is down"
    assert heard.overview.problems(heard.now) == [said]
    # At the site itself, nodes are heard all the same.
    assert heard.wait(1) == []
    heard.overview.note_link(heard.now, is_up=False)
    heard.overview.note_link(heard.now, is_up=True)
    assert heard.overview.problems(heard.now) == []


def test_clocks_that_differ_are_named(heard: Heard) -> None:
    heard.all_online()
    heard.wait(5)
    heard.overview.note_label(label("Coat", camera="cam7", captured=37.0), heard.now, 0.0)
    problems = heard.wait(1)
    assert len(problems) == 1
    assert "the clocks of camera 'cam7' and this machine differ by about 37 s" in problems[0]


def test_silence_during_a_lost_connection_blames_nobody(heard: Heard) -> None:
    heard.all_online()
    heard.wait(5)
    heard.overview.note_connection(heard.now, is_connected=False)
    heard.now += 100
    assert heard.overview.problems(heard.now) == ["no connection to the broker; trying again"]
    heard.overview.note_connection(heard.now, is_connected=True)
    assert heard.wait(5) == []


def test_a_cleared_status_is_forgotten(heard: Heard) -> None:
    heard.all_online()
    heard.status("variant", "old", variant=5, state=State.OFFLINE)
    assert len(heard.wait(5)) == 1
    heard.overview.forget("old")
    assert heard.wait(1) == []


def test_only_so_many_nodes_are_remembered(heard: Heard) -> None:
    for number in range(2000):
        heard.status("variant", f"v{number}", variant=number)
    assert len(heard.overview.nodes("variant", heard.now)) == 512


def test_a_label_that_is_valid_for_longer_is_not_missed_sooner(heard: Heard) -> None:
    heard.all_online()
    heard.wait(10)
    heard.overview.note_label(label("Coat").model_copy(update={"valid_for_s": 20.0}), heard.now, 0.0)
    assert heard.wait(19, labels=False) == []
    assert "no label for" in heard.wait(2, labels=False)[0]


def test_the_first_label_of_a_still_scene_may_be_long_in_coming(heard: Heard) -> None:
    heard.all_online()
    heard.status("camera", camera="cam0", still=("cam0",))
    assert heard.wait(30, labels=False) == []
    heard.status("camera", camera="cam0", still=())
    assert "no label yet" in heard.wait(1, labels=False)[0]
    heard.status("camera", camera="cam0", regions=("cam0.a", "cam0.b"), still=("cam0.a",))
    assert "no label yet" in heard.wait(1, labels=False)[0]
    heard.status("camera", camera="cam0", regions=("cam0.a", "cam0.b"), still=("cam0.b", "cam0.a"))
    assert heard.wait(1, labels=False) == []


@pytest.mark.parametrize(
    ("role", "fields", "note"),
    [
        ("camera", {"camera": "cam0", "still": ("cam0",)}, "still"),
        ("camera", {"camera": "cam0", "regions": ("cam0.a", "cam0.b"), "still": ("cam0.a",)}, "still: cam0.a"),
        ("camera", {"camera": "cam0", "still": ()}, ""),
        ("variant", {"is_spare": True}, "spare"),
        ("variant", {"claim": 3, "claim_held": False}, "takes variant 3"),
        ("variant", {"claim": 3, "claim_held": True, "variant": 3}, ""),
        ("variant", {"is_spare": True, "state": State.OFFLINE}, ""),
    ],
)
def test_what_a_node_waits_for_is_said(heard: Heard, role: str, fields: dict[str, Any], note: str) -> None:
    heard.status(role, "x", **fields)
    assert [note_of(node) for node in heard.overview.nodes(None, heard.now)] == [note]


def test_spares_are_no_twins_and_a_board_whose_variant_nobody_knows_is_named(heard: Heard) -> None:
    heard.all_online()
    for name in ("a", "b"):
        heard.status("variant", name, is_spare=True)
    assert heard.wait(5) == []
    heard.status("variant", "b", state=State.OFFLINE)
    assert heard.wait(5) == ["board 'b' is offline"]


@pytest.mark.parametrize("end", [State.OFFLINE, State.STOPPED])
def test_a_board_that_chose_its_variant_keeps_it_when_it_ends(heard: Heard, end: State) -> None:
    heard.all_online()
    heard.status("variant", "a", is_spare=True)
    heard.status("variant", "a", variant=3, bundle="things", digest="0000002a")
    since = heard.overview.nodes("variant", heard.now)[-1].bundle_since
    heard.now += 5
    # The will is from before it chose.
    heard.status("variant", "a", state=end)
    (ended,) = (node for node in heard.overview.nodes("variant", heard.now) if node.status.node == "a")
    assert (ended.status.state, ended.status.variant) == (end, 3)
    assert (ended.status.bundle, ended.status.digest, ended.bundle_since) == ("things", "0000002a", since)
    if end is State.OFFLINE:
        assert heard.wait(5) == ["variant 3 ('a') is offline"]
    # Started again, it has none before it chooses.
    heard.status("variant", "a", claim=3)
    assert {node.status.variant for node in heard.overview.nodes("variant", heard.now)} == {0, 1, 2, None}


def test_a_node_that_two_machines_run_ousts_itself_again_and_again(heard: Heard) -> None:
    heard.all_online()
    assert heard.wait(30) == []
    for started, host in ((10.0, "pi-9"), (20.0, "pi")):
        # The broker publishes the will of the one that is ousted.
        heard.status("variant", "v1", variant=1, state=State.OFFLINE, started=started - 10)
        heard.status("variant", "v1", variant=1, started=started, host=host)
        problems = heard.wait(5)
    assert problems == [
        "variant node 'v1' is started again and again, on pi and pi-9: each has its name and account; stop one"
    ]
    assert heard.wait(61) == []


def test_a_node_that_crashes_is_told_from_one_that_was_started_once_more(heard: Heard) -> None:
    heard.all_online()
    heard.status("fusion", started=2.0)
    assert heard.wait(5) == []
    # Another status of the same process.
    heard.status("fusion", started=2.0, deadline_ms=100.0)
    assert heard.wait(5) == []
    heard.status("fusion", started=3.0)
    assert heard.wait(5) == [
        "fusion node 'fusion' is started again and again, on pi: does it run twice there? see its log"
    ]


def test_what_the_broker_has_kept_is_no_restart(heard: Heard) -> None:
    heard.all_online()
    for started in (2.0, 3.0):
        heard.status("fusion", started=started, retained=True)
    heard.alive.add("fusion")
    assert heard.wait(5) == []
