"""Windows under any sequence of events: random tests against the promises, not the implementation."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from tests.support.fusing import fuse, manifest, windows_of
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote

Key = tuple[str, FrameId]

# Weights and probabilities are such that all sums are exact: ties are ties, in whatever order the votes arrive.
WEIGHTS = [1.0, 0.75, 0.5]
CLASSES = 3
DEADLINE = 10.0
TICK = 0.25
FAMILY = manifest(WEIGHTS, CLASSES)
DIGEST = FAMILY.short_digest

cameras = st.sampled_from(["a", "b"])
variants = st.integers(0, len(WEIGHTS) - 1)
shares = st.sampled_from([(1.0,), (0.625, 0.375), (0.625, 0.125), (0.25,)])


@st.composite
def votes(draw: st.DrawFn, digest: bytes = DIGEST) -> Vote:
    probabilities = draw(shares)
    classes = draw(st.permutations(range(CLASSES)))[: len(probabilities)]
    return Vote(np.array(classes), np.array(probabilities), digest)


def sums(cast: dict[int, Vote], weights: list[float], classes: int) -> NDArray[np.float64]:
    total = np.zeros(classes)
    for variant, vote in cast.items():
        total[vote.classes] += weights[variant] * vote.probabilities
    return total


class Ledger(RuleBasedStateMachine):
    """Cameras, variants and a clock, and what the windows must make of them."""

    def __init__(self) -> None:
        super().__init__()
        self.windows, self.handover = windows_of(FAMILY, deadline=DEADLINE, suspect_after=2)
        self.liveness = self.handover.leader.liveness
        self.now = 0.0
        self.run: Counter[str] = Counter()
        self.next: Counter[str] = Counter()
        self.left_out: dict[str, list[FrameId]] = defaultdict(list)
        self.disordered: set[str] = set()
        self.nodes: dict[str, int] = {}
        self.reported: set[int] = set()
        self.heard: set[int] = set()
        self.opened: dict[Key, float] = {}
        self.announced: dict[Key, Announce] = {}
        self.announced_at: dict[Key, float] = {}
        self.cast: dict[Key, dict[int, tuple[float, Vote]]] = defaultdict(dict)
        self.voters: dict[Key, set[int]] = defaultdict(set)
        self.forgotten: set[Key] = set()
        self.labels: dict[Key, WindowResult] = {}
        self.calls: Counter[str] = Counter()

    def _tick(self) -> None:
        self.now += TICK

    def _announce(self, camera: str, frame: FrameId) -> None:
        self._tick()
        self.calls["announce"] += 1
        key = camera, frame
        announce = Announce(frame, captured=self.now)
        if key not in self.announced:
            self.announced[key] = announce
            self.announced_at[key] = self.now
            self.opened.setdefault(key, self.now)
        self._collect(self.windows.announce(camera, announce, self.now))

    # What must come of it

    def _deadline(self, key: Key) -> float:
        opened = self.announced_at[key] if key in self.forgotten else self.opened[key]
        return opened + DEADLINE

    def _passed(self, key: Key) -> set[int]:
        camera, frame = key
        newer = (k for k in self.announced if k[0] == camera and k[1].run == frame.run and k[1] > frame)
        return {variant for k in newer for variant in self.voters[k]}

    def _waited_for(self, key: Key, opened: float, cast: dict[int, Vote]) -> set[int]:
        return self.liveness.awaited(opened) - cast.keys() - self._passed(key)

    def _collect(self, closed: list[WindowResult]) -> None:
        for result in closed:
            key = result.camera, result.announce.frame
            assert key in self.announced
            assert key not in self.labels, "a second result"
            self.labels[key] = result
            self._check(key, result)

    def _check(self, key: Key, result: WindowResult) -> None:
        assert result.announce is self.announced[key]
        assert result.closed <= self.now
        assert result.winner == (int(sums(result.votes, WEIGHTS, CLASSES).argmax()) if result.votes else None)
        assert result.scores == pytest.approx(fuse(result.votes, WEIGHTS, CLASSES))
        if key not in self.forgotten:
            assert result.opened == self.opened[key]
            in_time = {v: vote for v, (at, vote) in self.cast[key].items() if at <= result.closed}
            assert result.votes == in_time
        if result.closed == self.now:
            assert result.alive == tuple(sorted(self.liveness.alive()))
            self._check_reason(key, result)

    def _check_reason(self, key: Key, result: WindowResult) -> None:
        waited_for = self._waited_for(key, result.opened, result.votes)
        match result.closed_by:
            case ClosedBy.COMPLETE:
                assert result.votes
                assert not waited_for
            case ClosedBy.SKIPPED:
                assert not result.votes
                assert self._passed(key)
                assert not waited_for
            case ClosedBy.DECIDED:
                assert waited_for
                for other in range(CLASSES):
                    worst = sums(result.votes, WEIGHTS, CLASSES)
                    worst[other] += sum(WEIGHTS[variant] for variant in waited_for)
                    assert worst.argmax() == result.winner
            case ClosedBy.DEADLINE:
                # An older frame closes with a newer one whose deadline has fallen, so that labels keep their order.
                newer = [k for k in self.announced if k[0] == key[0] and k[1].run == key[1].run and k[1] >= key[1]]
                opened = min(result.opened, *(self.opened[k] for k in newer))
                assert opened + DEADLINE <= self.now


class Site(Ledger):
    """What may happen at a site, and what must hold whatever does."""

    @initialize(online=st.sets(variants) | st.just({0, 1, 2}))
    def some_variants_are_online(self, online: set[int]) -> None:
        for variant in online:
            self.status(f"n{variant}", variant, online=True)

    # What happens

    @rule(camera=cameras, gap=st.sampled_from([0, 0, 0, 1, 2]))
    def announce(self, camera: str, gap: int) -> None:
        for _ in range(gap):
            self.left_out[camera].append(FrameId(self.run[camera], self.next[camera]))
            self.next[camera] += 1
        self._announce(camera, FrameId(self.run[camera], self.next[camera]))
        self.next[camera] += 1

    @precondition(lambda self: any(self.left_out.values()))
    @rule(data=st.data())
    def announce_out_of_order(self, data: st.DataObject) -> None:
        camera = data.draw(st.sampled_from(sorted(name for name, frames in self.left_out.items() if frames)))
        frames = self.left_out[camera]
        self._announce(camera, frames.pop(data.draw(st.integers(0, len(frames) - 1))))
        self.disordered.add(camera)

    @precondition(lambda self: self.announced)
    @rule(data=st.data())
    def announce_again(self, data: st.DataObject) -> None:
        camera, frame = data.draw(st.sampled_from(list(self.announced)))
        before = self.windows.counts["duplicate_announces"]
        self._announce(camera, frame)
        assert self.windows.counts["duplicate_announces"] == before + 1

    @rule(camera=cameras)
    def restart(self, camera: str) -> None:
        self.run[camera] += 1
        self.next[camera] = 0
        self.left_out[camera].clear()

    @rule(
        camera=cameras, back=st.integers(-1, 6), runs_back=st.sampled_from([0, 0, 0, 1]), variant=variants, vote=votes()
    )
    def vote(self, camera: str, back: int, runs_back: int, variant: int, vote: Vote) -> None:
        frame = FrameId(max(0, self.run[camera] - runs_back), max(0, self.next[camera] - back))
        key = camera, frame
        self._tick()
        self.calls["vote"] += 1
        if key not in self.labels:
            self.opened.setdefault(key, self.now)
            self.cast[key].setdefault(variant, (self.now, vote))
        self.voters[key].add(variant)
        counts = self.windows.counts.copy()
        closed = self.windows.vote(camera, frame, variant, vote, self.now)
        opened = self.labels[key].opened if key in self.labels else self.opened[key]
        is_late = self.windows.counts["late"] > counts["late"]
        if self.windows.counts["votes"] > counts["votes"] or (is_late and self.now - opened <= DEADLINE):
            self.heard.add(variant)
        self._collect(closed)

    @precondition(lambda self: self.announced)
    @rule(voters=st.sets(variants, min_size=1), back=st.sampled_from([1, 1, 1, 2]), data=st.data())
    def several_vote(self, voters: set[int], back: int, data: st.DataObject) -> None:
        camera, frame = list(self.announced)[-min(back, len(self.announced))]
        for variant in sorted(voters):
            self.vote(
                camera, self.next[camera] - frame.sequence, self.run[camera] - frame.run, variant, data.draw(votes())
            )

    @rule(
        node=st.sampled_from(["n0", "n1", "n2", "spare"]), variant=variants, online=st.sampled_from([True, True, False])
    )
    def status(self, node: str, variant: int, *, online: bool) -> None:
        self._tick()
        self.nodes.pop(node, None)
        if online:
            self.nodes[node] = variant
            self.reported.add(variant)
        self._collect(self.windows.set_node(node, (DIGEST, variant) if online else None, self.now))

    @rule(ticks=st.sampled_from([1, 4, 15, 39, 60]))
    def wait(self, ticks: int) -> None:
        self.now += ticks * TICK

    @rule()
    def expire(self) -> None:
        self._tick()
        due = {key for key in self.announced if self._deadline(key) <= self.now}
        for key in [key for key, opened in self.opened.items() if opened + DEADLINE <= self.now]:
            if key not in self.announced:
                # If its announce still comes, its votes may be lost: no promise to keep them.
                self.forgotten.add(key)
                del self.opened[key], self.cast[key]
                self.voters.pop(key, None)
        self._collect(self.windows.expire(self.now))
        assert due <= self.labels.keys()
        assert self.windows.expire(self.now) == []

    @precondition(lambda self: self.windows.next_deadline() is not None)
    @rule()
    def expire_when_due(self) -> None:
        due = self.windows.next_deadline()
        assert due is not None
        self.now = max(self.now, due - TICK)
        self.expire()

    @invariant()
    def labels_come_in_the_order_of_the_announces(self) -> None:
        for camera in {"a", "b"} - self.disordered:
            labelled = [key for key in self.labels if key[0] == camera]
            assert labelled == [key for key in self.announced if key[0] == camera][: len(labelled)]

    @invariant()
    def the_next_deadline_is_not_missed(self) -> None:
        pending = [self._deadline(key) for key in self.announced if key not in self.labels]
        if pending:
            due = self.windows.next_deadline()
            assert due is not None
            assert due <= min(pending)

    @invariant()
    def no_window_stays_open_without_a_variant_to_wait_for(self) -> None:
        for camera in {"a", "b"} - self.disordered:
            pending = [k for k in self.announced if k[0] == camera and k not in self.labels]
            if not pending or pending[0] in self.forgotten:
                continue
            key = pending[0]
            cast = {variant: vote for variant, (_, vote) in self.cast[key].items()}
            waited_for = self._waited_for(key, self.opened[key], cast)
            if cast or self._passed(key):
                assert waited_for
            second, first = np.sort(sums(cast, WEIGHTS, CLASSES))[-2:]
            assert first - second < sum(WEIGHTS[variant] for variant in waited_for) + 1e-6 or not cast

    @invariant()
    def those_alive_are_online_or_known_by_their_votes(self) -> None:
        assert self.liveness.alive() == set(self.nodes.values()) | (self.heard - self.reported)

    @invariant()
    def everything_that_came_is_counted(self) -> None:
        counts = self.windows.counts
        assert counts["votes"] + counts["late"] + counts["duplicate_votes"] == self.calls["vote"]
        assert counts["announced"] + counts["duplicate_announces"] == self.calls["announce"]
        assert counts["announced"] == len(self.announced)
        assert counts["refused"] == 0

    def teardown(self) -> None:
        self.now += 2 * DEADLINE
        self.expire()
        assert self.labels.keys() == self.announced.keys()
        assert self.windows.next_deadline() is None


TestSite = Site.TestCase
TestSite.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.75]), min_size=2, max_size=6), st.data())
def test_closing_early_never_changes_the_winner(weights: list[float], data: st.DataObject) -> None:
    family = manifest(weights, CLASSES)
    windows, _ = windows_of(family, deadline=DEADLINE)
    for variant in range(len(weights)):
        windows.set_node(f"n{variant}", (family.short_digest, variant), 0)
    frame = FrameId(1, 1)
    cast = {variant: data.draw(votes(family.short_digest)) for variant in range(len(weights))}
    order = data.draw(st.permutations(range(len(weights))))
    before = data.draw(st.integers(0, len(weights)))
    closed: list[WindowResult] = []
    for place, variant in enumerate(order):
        if place == before:
            closed += windows.announce("cam", Announce(frame, 0.0), 1)
        closed += windows.vote("cam", frame, variant, cast[variant], 1)
    if before == len(order):
        closed += windows.announce("cam", Announce(frame, 0.0), 1)
    assert len(closed) == 1
    assert closed[0].winner == sums(cast, weights, CLASSES).argmax()
    assert (len(closed[0].votes) < len(weights)) == (closed[0].closed_by is ClosedBy.DECIDED)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(0, 12)), max_size=120))
def test_the_limits_hold_and_every_accepted_frame_gets_its_result(events: list[tuple[int, int, int]]) -> None:
    windows, _ = windows_of(FAMILY, deadline=DEADLINE, max_cameras=4, max_open=6, history=3, suspect_after=2)
    windows.set_node("n0", (DIGEST, 0), 0)
    vote = Vote(np.array([1]), np.array([1.0]), DIGEST)
    accepted: Counter[Key] = Counter()
    closed: list[WindowResult] = []
    now = 0.0
    for sequence, (camera, kind, ticks) in enumerate(events):
        now += ticks * TICK
        key = f"cam{camera}", FrameId(1, sequence)
        if kind < 3:
            before = windows.counts["announced"]
            closed += windows.announce(key[0], Announce(key[1], 0.0), now)
            accepted[key] += windows.counts["announced"] - before
        if kind in {2, 3}:
            closed += windows.vote(*key, sequence % 3, vote, now)
        if kind == 4:
            closed += windows.expire(now)
        assert len(list(windows._open)) <= 6
        assert len(windows._open._cameras) <= 4
        assert sum(len(known._queue) for known in windows._open._cameras.values()) <= 6
        assert all(len(known._finished) <= 3 for known in windows._open._cameras.values())
    closed += windows.expire(now + DEADLINE)
    assert Counter((result.camera, result.announce.frame) for result in closed) == +accepted
    assert windows.next_deadline() is None
