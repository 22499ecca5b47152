"""The nodes that the fusion node knows, and which of them have fallen silent."""

from __future__ import annotations

from typing import Any

from tests.support.statuses import status_of
from vp_mqtt.fusion.known_nodes import KnownNodes
from vp_mqtt.protocol.messages import State, StatusMessage

PLACE = (b"aaaa", 2)


def status(name: str, state: State = State.ONLINE, **changes: Any) -> StatusMessage:
    return status_of(name, state=state, **({"variant": None} | changes))


def test_a_node_is_silent_after_three_periods_without_a_word() -> None:
    nodes = KnownNodes()
    node = nodes.note_status(status("a", stats_every_s=2.0), retained=False, now=0.0)
    assert node is not None
    assert nodes.silent(100.0) == []
    node.is_counted = True
    assert nodes.silent(6.0) == []
    assert nodes.silent(6.1) == [("a", node)]
    node.presence.note_heard(5.0)
    assert nodes.silent(11.0) == []
    nodes.note_deaf(20.0)
    assert nodes.silent(26.0) == []
    assert nodes.silent(26.1) == [("a", node)]


def test_a_busy_board_is_not_silent_within_three_seconds_however_short_its_period() -> None:
    nodes = KnownNodes()
    node = nodes.note_status(status("a", stats_every_s=0.2), retained=False, now=0.0)
    assert node is not None
    node.is_counted = True
    assert nodes.silent(3.0) == []
    assert nodes.silent(3.1) == [("a", node)]


def test_the_nodes_that_came_first_keep_their_place_while_they_live() -> None:
    nodes = KnownNodes()
    for number in range(512):
        assert nodes.note_status(status(f"n{number}"), retained=False, now=0.0) is not None
    assert nodes.note_status(status("new"), retained=False, now=1.0) is None
    assert "new" not in nodes
    nodes.note_status(status("n7", State.STOPPED), retained=False, now=1.0)
    # It is not looked for a place more than once a second.
    assert nodes.note_status(status("new"), retained=False, now=1.9) is None
    assert nodes.note_status(status("new"), retained=False, now=2.0) is not None
    assert "n7" not in nodes
    assert len(nodes.names()) == 512


def test_nodes_of_a_variant_and_of_a_role() -> None:
    nodes = KnownNodes()
    for name in ("b", "a", "c"):
        nodes.note_status(status(name), retained=False, now=0.0)
        nodes.set_place(name, PLACE)
    nodes.note_status(status("f", role="fusion"), retained=True, now=1.0)
    nodes.set_place("c", None)
    assert nodes.in_place(PLACE) == {"a", "b"}
    nodes.note_status(status("stage", role="stage", variant=0), retained=True, now=1.0)
    nodes.note_status(status("other", role="stage"), retained=True, now=1.0)
    assert nodes.listened_to() == {"a", "b", "c", "f", "stage"}
    nodes.set_place("b", (b"bbbb", 2))
    nodes.forget("a")
    nodes.forget("never seen")
    assert nodes.in_place(PLACE) == set()
    assert nodes.in_place((b"bbbb", 2)) == {"b"}
    assert nodes.find("a") is None


def test_the_names_of_other_nodes_are_known_in_a_bounded_number_and_once() -> None:
    nodes = KnownNodes()
    for number in range(2000):
        nodes.note_other(f"n{number}")
    assert len(nodes.names()) == 1024
    assert "n1023" in nodes
    assert "n1024" not in nodes
    assert nodes.find("n0") is None
    nodes.note_status(status("n0", variant=1), retained=False, now=0.0)
    assert len(nodes.names()) == 1024
    nodes.forget("n0")
    assert "n0" not in nodes
