"""What a camera learns from the statuses of its site, and what it does not believe."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support.statuses import status_of
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.board_needs import BoardNeeds
from vp_mqtt.nodes.needs_watch import NeedsWatch
from vp_mqtt.protocol.topics import Topics

SITE = Topics("home")


class FakeNode:
    """Lets a number of statuses pass."""

    def __init__(self) -> None:
        self.left = 100
        self.counts: Counter[str] = Counter()
        self.refused: list[str] = []
        self.gates = self.refusals = self

    def may_pass(self, topic: str, _now: float) -> bool:
        assert topic == "vp/home/node/+/status"
        self.left -= 1
        return self.left >= 0

    def add(self, _topic: str, reason: str) -> None:
        self.refused.append(reason)


@pytest.fixture
def node() -> Any:
    return FakeNode()


@pytest.fixture
def needs() -> BoardNeeds:
    return BoardNeeds()


@pytest.fixture
def watch(needs: BoardNeeds) -> NeedsWatch:
    return NeedsWatch(SITE, needs)


def said(node: str, payload: bytes) -> Received:
    return Received(SITE.status(node), payload, b"", 0.0, retained=True)


def board(node: str, side: int) -> Received:
    return said(node, status_of(node, "variant", bundle="b", frame_side=side).encode())


def test_statuses_say_what_is_needed_until_they_are_cleared(watch: NeedsWatch, needs: BoardNeeds, node: Any) -> None:
    assert watch.receive(board("v0", 300), node)
    assert needs.newest.side == 300
    assert watch.receive(said("v0", b""), node)
    assert needs.newest.boards == 0


def test_other_messages_are_not_taken(watch: NeedsWatch, node: Any) -> None:
    assert not watch.receive(Received(SITE.label("cam0"), b"", b"", 0.0), node)
    assert not watch.receive(Received(SITE.capture("status"), b"", b"", 0.0), node)


@pytest.mark.parametrize(
    "payload",
    [
        b"no JSON",
        b"{}",
        board("v0", 300).payload.replace(b"300", b"300000"),
        board("v0", 300).payload.replace(b'"frame_side":300', b'"frame_side":0'),
        board("v0", 300).payload.replace(b'"frame_side":300', b'"frame_side":"large"'),
        board("v1", 16).payload,
    ],
)
def test_a_status_that_is_not_valid_or_of_another_node_changes_nothing(
    payload: bytes, watch: NeedsWatch, needs: BoardNeeds, node: Any
) -> None:
    watch.receive(board("v0", 300), node)
    watch.receive(board("v2", 96), node)
    before = needs.newest
    assert watch.receive(said("v2", payload), node)
    assert needs.newest == before
    assert len(node.refused) == 1


def test_while_statuses_flood_pictures_stay_as_they_are(watch: NeedsWatch, needs: BoardNeeds, node: Any) -> None:
    watch.receive(board("v0", 300), node)
    node.left = 0
    assert watch.receive(board("v1", 300), node)
    assert needs.newest.side is None
    assert node.counts["flooded"] == 1
