from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.nodes.replica_gate import ReplicaGate, ReplicaPace, new_gate
from vp_mqtt.protocol.topics import Topics


class Board:
    """A node of a group, without a broker."""

    def __init__(self, **settings: Any) -> None:
        self.filters: set[str] = set()
        self.waiting = 0
        self.is_at_work = False
        self.counts: Counter[str] = Counter()
        node = SimpleNamespace(
            topics=Topics("home"),
            counts=self.counts,
            subscribe=lambda topics, **_: self.filters.update(topics),
            session=SimpleNamespace(unsubscribe=self.filters.discard),
            work=SimpleNamespace(is_stuck=lambda _: self.is_at_work),
            change_status=lambda _: None,
        )
        chosen = VariantSettings(**({"variant": 2, "replica": True} | settings))
        self.gate = cast("ReplicaGate", new_gate(cast("Any", node), chosen, lambda: self.waiting))


def test_a_board_that_keeps_up_stays_in_its_group() -> None:
    board = Board()
    board.gate.note_work(0.02)
    board.waiting, board.is_at_work = 3, True
    board.gate.note_arrival()
    assert board.filters == {"$share/variant-2/vp/home/camera/+/frame"}


@pytest.mark.parametrize("cameras", [None, "cam0,cam1"])
def test_a_slow_board_leaves_its_group_while_it_is_at_work(cameras: str | None) -> None:
    board = Board(cameras=cameras)
    before = set(board.filters)
    board.gate.note_work(0.15)
    board.waiting = 1
    board.gate.note_arrival()
    assert board.filters == set()
    board.waiting, board.is_at_work = 0, True
    board.gate.note_arrival()
    board.is_at_work = False
    board.gate.note_work(0.15)
    assert board.filters == before
    assert board.counts["left_group"] == 1


def test_one_slow_frame_is_soon_forgotten() -> None:
    pace = ReplicaPace()
    pace.note_work(0.5)
    for _ in range(20):
        pace.note_work(0.01)
    assert not pace.is_behind(4)


def test_a_board_that_chooses_its_variant_cannot_share_frames() -> None:
    with pytest.raises(UserError, match="--replica"):
        Board(variant="auto")
