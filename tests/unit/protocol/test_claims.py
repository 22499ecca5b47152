"""Boards that choose their variants, over a simulated network with delays."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vp_mqtt.protocol.claims import LISTEN_S, SETTLE_S, Claim, Claimant
from vp_mqtt.protocol.messages import State, StatusMessage

TICK_S = 0.25
STATS_EVERY_S = 5.0


def status(node: str, started: float, /, *, state: State = State.ONLINE, **fields: Any) -> StatusMessage:
    return StatusMessage.model_validate(
        {"node": node, "role": "variant", "version": "1", "host": node, "client_id": node, "instance": "0" * 8}
        | {"state": state, "started": started, "stats_every_s": STATS_EVERY_S}
        | fields
    )


@dataclass
class Board:
    """A board of the simulation: its claimant, and what it has published last."""

    name: str
    started: float
    claimant: Claimant
    ranked: list[int] | None = None
    published: Claim | None = None
    next_stats: float = 0.0


@dataclass
class Network:
    """A broker that keeps statuses, and delivers them after random delays, in order for each pair of boards."""

    variants: int
    rng: random.Random
    longest_delay: float
    now: float = 0.0
    boards: dict[str, Board] = field(default_factory=dict)
    retained: dict[str, StatusMessage] = field(default_factory=dict)
    formers: dict[str, int] = field(default_factory=dict)
    moves: dict[str, int] = field(default_factory=dict)
    _queue: list[tuple[float, int, str, StatusMessage | str | list[int], bool]] = field(default_factory=list)
    _number: int = 0
    _last: dict[str, float] = field(default_factory=dict)

    def start(self, name: str) -> None:
        board = Board(name, self.now, Claimant(name, self.now, self.now), next_stats=self.now + STATS_EVERY_S)
        self.boards[name] = board
        for kept in self.retained.values():
            self._send(name, kept, retained=True)
        self._publish(board)

    def kill(self, name: str) -> None:
        board = self.boards.pop(name)
        self._deliver(status(name, board.started, state=State.OFFLINE))

    def hang(self, name: str) -> None:
        """Let a board vanish without a will, as if the broker had lost power with it."""
        self.boards.pop(name)

    def change_family(self, ranked: list[int]) -> None:
        """Let each board hear, after a delay of its own, that the site runs another family."""
        for name in self.boards:
            self._send(name, ranked, retained=False)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += TICK_S
            while self._queue and self._queue[0][0] <= self.now:
                at, _, name, message, retained = heapq.heappop(self._queue)
                if name in self.boards:
                    self._hear(self.boards[name], message, at, retained=retained)
            for board in list(self.boards.values()):
                if self.now >= board.next_stats:
                    board.next_stats += STATS_EVERY_S
                    self._to_all(board.name)
                self._decide(board, self.now)

    def held(self) -> dict[str, int]:
        claims = {name: board.claimant.claim for name, board in self.boards.items()}
        return {name: claim.variant for name, claim in claims.items() if claim is not None and claim.is_held}

    def _hear(self, board: Board, message: StatusMessage | str | list[int], at: float, *, retained: bool) -> None:
        if isinstance(message, list):
            board.ranked = message
            board.claimant.reconsider(message, at)
            self._decide(board, at)
        elif isinstance(message, str):
            board.claimant.note_heard(message, at)
        else:
            board.claimant.note_status(message, retained=retained, now=at)
            self._decide(board, at)

    def _decide(self, board: Board, now: float) -> None:
        order = list(range(self.variants))[::-1]
        former = self.formers.get(board.name)
        order = order if former is None else [former, *(one for one in order if one != former)]
        claim = board.claimant.decide(board.ranked or order, now)
        if claim is not None and claim.is_held:
            self.formers[board.name] = claim.variant
        if claim != board.published:
            if board.published is not None and board.published.is_held:
                self.moves[board.name] = self.moves.get(board.name, 0) + 1
            board.published = claim
            self._publish(board)

    def _publish(self, board: Board) -> None:
        claim = board.published
        fields: dict[str, Any] = {} if claim is None else {"claim": claim.variant, "claim_held": claim.is_held}
        self._deliver(status(board.name, board.started, **fields))

    def _deliver(self, message: StatusMessage) -> None:
        self.retained[message.node] = message
        self._to_all(message)

    def _to_all(self, message: StatusMessage | str) -> None:
        for name in self.boards:
            self._send(name, message, retained=False)

    def _send(self, name: str, message: StatusMessage | str | list[int], *, retained: bool) -> None:
        at = max(self.now + self.rng.uniform(0, self.longest_delay), self._last.get(name, 0.0))
        self._last[name] = at
        self._number += 1
        heapq.heappush(self._queue, (at, self._number, name, message, retained))


def names(count: int) -> Iterator[str]:
    return (f"pi-{number}" for number in range(count))


NETWORKS = st.tuples(st.integers(1, 8), st.integers(1, 10), st.integers(0, 10_000), st.floats(0, 0.45))


def network(variants: int, seed: int, delay: float) -> Network:
    return Network(variants, random.Random(seed), delay * SETTLE_S)


@settings(max_examples=60, deadline=None)
@given(NETWORKS)
def test_boards_that_start_together_hold_different_variants_and_no_variant_is_left(
    given: tuple[int, int, int, float],
) -> None:
    variants, boards, seed, delay = given
    site = network(variants, seed, delay)
    for name in names(boards):
        site.start(name)
    for _ in range(40):
        site.run(1)
        held = site.held()
        assert len(set(held.values())) == len(held)
    assert len(held) == min(variants, boards)


@settings(max_examples=40, deadline=None)
@given(NETWORKS, st.lists(st.tuples(st.sampled_from(["start", "kill", "hang"]), st.integers(0, 9)), max_size=12))
def test_whatever_boards_do_every_variant_that_can_be_is_held_once_in_the_end(
    given: tuple[int, int, int, float], events: list[tuple[str, int]]
) -> None:
    variants, boards, seed, delay = given
    site = network(variants, seed, delay)
    for name in names(boards):
        site.start(name)
    for event, number in events:
        site.run(site.rng.uniform(0, 4))
        name = f"pi-{number}"
        if event == "start" and name not in site.boards:
            site.start(name)
        elif event == "kill" and name in site.boards:
            site.kill(name)
        elif event == "hang" and name in site.boards:
            site.hang(name)
    site.run(60)
    held = site.held()
    assert len(set(held.values())) == len(held) == min(variants, len(site.boards))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.45), st.integers(0, 5))
def test_a_board_that_restarts_has_its_former_variant_again(seed: int, delay: float, which: int) -> None:
    site = network(6, seed, delay)
    for name in names(6):
        site.start(name)
        site.run(1)
    site.run(30)
    before = site.held()
    site.kill(f"pi-{which}")
    site.run(5)
    site.start(f"pi-{which}")
    site.run(20)
    assert site.held() == before


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.45), st.booleans())
def test_a_spare_takes_over_and_stays(seed: int, delay: float, has_will: bool) -> None:  # noqa: FBT001 (hypothesis)
    site = network(3, seed, delay)
    for name in names(3):
        site.start(name)
    site.run(20)
    held = site.held()
    site.start("spare")
    site.run(30)
    assert site.held() == held
    lost = held.pop("pi-1")
    (site.kill if has_will else site.hang)("pi-1")
    # The will is published at once here; without it, the silence has to last for three intervals of the stats.
    site.run(2 * SETTLE_S if has_will else 3 * STATS_EVERY_S + 2 * SETTLE_S)
    assert site.held() == held | {"spare": lost}
    site.start("pi-1")
    site.run(30)
    assert site.held() == held | {"spare": lost}


@settings(max_examples=100, deadline=None)
@given(NETWORKS, st.permutations(range(8)), st.integers(1, 8), st.booleans())
def test_boards_run_what_is_worth_most_of_another_family_after_one_move_at_most(
    given: tuple[int, int, int, float],
    order: list[int],
    count: int,
    is_restless: bool,  # noqa: FBT001 (hypothesis)
) -> None:
    variants, boards, seed, delay = given
    site = network(variants, seed, delay)
    for name in names(boards):
        site.start(name)
    site.run(40)
    before, site.moves = site.held(), {}
    ranked = [variant for variant in order if variant < count]
    if is_restless:  # two pushes in a row
        site.change_family(ranked[::-1])
        site.run(site.rng.uniform(0, 3))
    site.change_family(ranked)
    site.run(60)
    held = site.held()
    assert set(held.values()) == set(ranked[:boards])
    if not is_restless:
        stays = {name for name, variant in before.items() if variant in ranked[:boards]}
        assert {name: held[name] for name in stays} == {name: before[name] for name in stays}
        assert all(moves == 1 for moves in site.moves.values())
    site.moves = {}
    site.run(60)
    assert site.moves == {}


def test_the_best_variant_is_claimed_first_and_held_after_a_while() -> None:
    claimant = Claimant("pi", 1.0, 0.0)
    assert claimant.decide([5, 4], LISTEN_S - 0.01) is None
    assert claimant.decide([5, 4], LISTEN_S) == Claim(5, is_held=False)
    assert claimant.decide([5, 4], LISTEN_S + SETTLE_S - 0.01) == Claim(5, is_held=False)
    assert claimant.decide([5, 4], LISTEN_S + SETTLE_S) == Claim(5, is_held=True)
    assert claimant.decide([4], 60.0) == Claim(4, is_held=False), "another family, without variant 5"


@pytest.mark.parametrize(
    ("fields", "started", "yields"),
    [
        ({"variant": 5}, 99.0, True),
        ({"claim": 5, "claim_held": True}, 0.5, True),
        ({"claim": 5, "claim_held": True, "variant": 5}, 99.0, False),
        ({"claim": 5, "claim_held": False}, 0.5, False),
        ({"claim": 4, "claim_held": True}, 0.5, False),
        ({"is_spare": True}, 0.5, False),
    ],
)
def test_what_is_held_is_given_up_only_for_an_assigned_or_an_earlier_board(
    fields: dict[str, Any], started: float, *, yields: bool
) -> None:
    claimant = Claimant("pi", 1.0, 0.0)
    for now in (LISTEN_S, LISTEN_S + SETTLE_S):
        claimant.decide([5], now)
    claimant.note_status(status("other", started, **fields), retained=False, now=5.0)
    assert claimant.decide([5], 5.0) == (None if yields else Claim(5, is_held=True))


def test_a_new_connection_lets_a_claim_wait_again() -> None:
    claimant = Claimant("pi", 1.0, 0.0)
    claimant.decide([5], LISTEN_S)
    claimant.note_connected(3.0)
    assert claimant.decide([5], 3.0 + SETTLE_S - 0.1) == Claim(5, is_held=False)
    assert claimant.decide([5], 3.0 + SETTLE_S) == Claim(5, is_held=True)


def test_own_statuses_and_other_roles_claim_nothing_and_floods_are_bounded() -> None:
    claimant = Claimant("pi", 1.0, 0.0)
    claimant.note_status(status("pi", 0.0, claim=5, claim_held=True), retained=True, now=0.0)
    claimant.note_status(status("cam", 0.0, role="camera", variant=5), retained=True, now=0.0)
    for number in range(2000):
        claimant.note_status(status(f"x{number}", 0.0), retained=True, now=0.0)
    assert len(claimant._others) == 512
    claimant.forget("x0")
    claimant.note_heard("nobody", 1.0)
    assert claimant.decide([5], LISTEN_S) == Claim(5, is_held=False)


def test_boards_that_are_gone_leave_their_places_to_others_and_those_that_live_keep_them() -> None:
    claimant = Claimant("pi", 1.0, 0.0)
    for number in range(512):
        claimant.note_status(status(f"old{number}", 0.0, state=State.OFFLINE), retained=True, now=0.0)
    claimant.note_status(status("real", 2.0, variant=5), retained=False, now=0.5)
    assert claimant.decide([5, 4], LISTEN_S) == Claim(4, is_held=False)

    for number in range(600):
        claimant.note_status(status(f"new{number}", 3.0), retained=False, now=1.0)
    claimant.note_heard("real", 17.0)
    for number in range(511):
        claimant.note_heard(f"new{number}", 17.0)
    claimant.note_status(status("late", 4.0, variant=4), retained=False, now=17.0)
    assert (len(claimant._others), "real" in claimant._others) == (512, True)
    assert claimant.decide([5, 4], 17.0) == Claim(4, is_held=True)

    # One of them falls silent.
    for number in range(510):
        claimant.note_heard(f"new{number}", 40.0)
    claimant.note_heard("real", 40.0)
    claimant.note_status(status("late", 4.0, variant=4), retained=False, now=40.0)
    assert claimant.decide([5, 4], 40.0) is None
