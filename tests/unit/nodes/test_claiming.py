"""What a board that chooses its variant does while it cannot hear the others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.fusing import manifest
from tests.support.statuses import status_of
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.logs import Refusals
from vp_mqtt.mqtt.message import Received, Subscription
from vp_mqtt.mqtt.topic_gates import TopicGates
from vp_mqtt.nodes import claim_watch, claiming
from vp_mqtt.nodes.claiming import Claiming
from vp_mqtt.protocol.claims import Claim
from vp_mqtt.protocol.messages import StatsMessage
from vp_mqtt.protocol.topics import Topics

FILTERS = {"vp/home/node/+/status", "vp/home/node/+/stats"}


class Board:
    """A node with two variants to choose from, connected, whose clock the test sets; it has subscribed to `filters`."""

    name, started, is_connected = "pi-0", 10.0, True

    def __init__(self) -> None:
        self.now = 1000.0
        self.topics, self.counts, self.refusals = Topics("home"), Counter[str](), Refusals()
        self.filters: set[str] = set()
        self.session = SimpleNamespace(
            connections=1,
            unsubscribe=self.filters.discard,
            subscribe=lambda topics, *_, **__: self.filters.update(topics),
        )
        self.gates = TopicGates(lambda: cast("Any", self.session))

    def subscribe(self, topics: Sequence[str], qos: int = 0, *, retained: bool = True, limit: Any) -> None:
        self.gates.add(*(Subscription(topic, qos, retained, limit) for topic in topics))
        self.filters.update(topics)

    def change_status(self, _change: object) -> None:
        pass


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board()
    for module in (claiming, claim_watch):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: board.now))
    # Messages are left at the broker until the test ends that.
    monkeypatch.setattr(threading.Timer, "start", lambda _: None)
    return board


def test_while_statuses_or_stats_flood_no_silent_board_loses_its_variant(board: Board, tmp_path: Path) -> None:
    settings = VariantSettings(variant="auto", bundle_cache=tmp_path)
    chooser = Claiming(cast("Any", board), settings)
    chooser.set_family(manifest((1.0, 2.0), 2))

    def hear(node: str, payload: bytes, kind: str = "stats") -> None:
        assert chooser.receive(Received(f"vp/home/node/{node}/{kind}", payload, None, board.now))

    def decide_after(seconds: float) -> Claim | None:
        board.now += seconds
        return chooser._decide()

    strongest = status_of("pi-1", variant=1, stats_every_s=1.0)
    hear("pi-1", strongest.encode(), "status")
    assert board.filters == FILTERS
    assert decide_after(0.5) is None
    stats = StatsMessage(node="pi-2", uptime_s=1.0, counts={}).encode()
    for _ in range(1000):
        hear("pi-2", stats)
    assert board.filters == {"vp/home/node/+/status"}
    assert board.counts["flooded"] == 500
    assert [decide_after(seconds) for seconds in (2.0, 10.0)] == [None, None]

    board.gates._reopen(board.now + 100)
    assert board.filters == FILTERS
    hear("pi-1", StatsMessage(node="pi-1", uptime_s=1.0, counts={}).encode())
    # Variant 1 is that of the board that could not be heard.
    assert [decide_after(0.5), decide_after(0.7)] == [None, Claim(0, is_held=False)]
    assert decide_after(2.1) == Claim(0, is_held=True)

    for _ in range(1100):
        hear("pi-1", strongest.encode(), "status")
    assert board.filters == {"vp/home/node/+/stats"}
    assert decide_after(60.0) == Claim(0, is_held=True)


def test_messages_of_other_kinds_are_not_taken(board: Board, tmp_path: Path) -> None:
    chooser = Claiming(cast("Any", board), VariantSettings(variant="auto", bundle_cache=tmp_path))
    assert not chooser.receive(Received("vp/home/camera/cam0/frame", b"", None, 0.0))
