"""Windows under any sequence of events: random tests against the promises, not the implementation."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.fusing import manifest, windows_of
from tests.unit.fusion.expected import Expected, Key, sums
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote

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
    return Vote(tuple(classes), probabilities, digest)


class Site(RuleBasedStateMachine):
    """Cameras, variants and a clock, and what the windows must make of them."""

    def __init__(self) -> None:
        super().__init__()
        self.windows, handover = windows_of(FAMILY, deadline=DEADLINE, suspect_after=2)
        self.expected = Expected(handover.leader.liveness, WEIGHTS, CLASSES, DEADLINE)
        self.now = 0.0
        self.run: Counter[str] = Counter()
        self.next: Counter[str] = Counter()
        self.left_out: dict[str, list[FrameId]] = defaultdict(list)
        self.disordered: set[str] = set()
        self.calls: Counter[str] = Counter()

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

    @precondition(lambda self: self.expected.announced)
    @rule(data=st.data())
    def announce_again(self, data: st.DataObject) -> None:
        camera, frame = data.draw(st.sampled_from(list(self.expected.announced)))
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
        self._tick()
        self.calls["vote"] += 1
        before = self.windows.counts.copy()
        closed = self.windows.vote(camera, frame, variant, vote, self.now)
        fate = next(iter(self.windows.counts - before), "")
        self.expected.vote((camera, frame), variant, vote, self.now, fate)
        self._collect(closed)

    @precondition(lambda self: self.expected.announced)
    @rule(voters=st.sets(variants, min_size=1), back=st.sampled_from([1, 1, 1, 2]), data=st.data())
    def several_vote(self, voters: set[int], back: int, data: st.DataObject) -> None:
        announced = list(self.expected.announced)
        camera, frame = announced[-min(back, len(announced))]
        for variant in sorted(voters):
            self.vote(
                camera, self.next[camera] - frame.sequence, self.run[camera] - frame.run, variant, data.draw(votes())
            )

    @rule(
        node=st.sampled_from(["n0", "n1", "n2", "spare"]), variant=variants, online=st.sampled_from([True, True, False])
    )
    def status(self, node: str, variant: int, *, online: bool) -> None:
        self._tick()
        self.expected.status(node, variant if online else None, self.now)
        self._collect(self.windows.set_node(node, (DIGEST, variant) if online else None, self.now))

    @rule(ticks=st.sampled_from([1, 4, 15, 39, 60]))
    def wait(self, ticks: int) -> None:
        self.now += ticks * TICK

    @rule()
    def expire(self) -> None:
        self._tick()
        due = {key for key, opened in self.expected.opened.items() if opened + DEADLINE <= self.now}
        self.expected.drop_early_votes(self.now)
        self._collect(self.windows.expire(self.now))
        assert due <= self.expected.labels.keys()
        assert self.windows.expire(self.now) == []

    @precondition(lambda self: self.windows.next_deadline() is not None)
    @rule()
    def expire_when_due(self) -> None:
        due = self.windows.next_deadline()
        assert due is not None
        self.now = max(self.now, due - TICK)
        self.expire()

    def _tick(self) -> None:
        self.now += TICK

    def _announce(self, camera: str, frame: FrameId) -> None:
        self._tick()
        self.calls["announce"] += 1
        announce = Announce(frame, captured=self.now)
        self.expected.announce((camera, frame), announce, self.now)
        self._collect(self.windows.announce(camera, announce, self.now))

    def _collect(self, closed: list[WindowResult]) -> None:
        for result in closed:
            self.expected.check((result.camera, result.announce.frame), result, self.now)

    # What must come of it

    @invariant()
    def labels_come_in_the_order_of_the_announces(self) -> None:
        for camera in {"a", "b"} - self.disordered:
            labelled = [key for key in self.expected.labels if key[0] == camera]
            assert labelled == [key for key in self.expected.announced if key[0] == camera][: len(labelled)]

    @invariant()
    def the_next_deadline_is_not_missed(self) -> None:
        pending = [opened for key, opened in self.expected.opened.items() if key not in self.expected.labels]
        if pending:
            due = self.windows.next_deadline()
            assert due is not None
            assert due <= min(pending) + DEADLINE

    @invariant()
    def no_window_stays_open_without_a_variant_to_wait_for(self) -> None:
        for camera in {"a", "b"} - self.disordered:
            pending = [k for k in self.expected.announced if k[0] == camera and k not in self.expected.labels]
            if not pending:
                continue
            key = pending[0]
            cast = {variant: vote for variant, (_, vote) in self.expected.cast[key].items()}
            waited_for = self.expected.waited_for(key, cast)
            if cast or self.expected.passed(key):
                assert waited_for
            second, first = np.sort(sums(cast, WEIGHTS, CLASSES))[-2:]
            assert first - second < sum(WEIGHTS[variant] for variant in waited_for) + 1e-6 or not cast

    @invariant()
    def those_alive_are_online_or_known_by_their_votes(self) -> None:
        assert self.expected.liveness.alive() == self.expected.alive()

    @invariant()
    def everything_that_came_is_counted(self) -> None:
        counts = self.windows.counts
        votes = sum(counts[name] for name in ("votes", "late", "duplicate_votes", "unannounced"))
        assert votes + self.expected.early_votes() == self.calls["vote"]
        assert counts["announced"] + counts["duplicate_announces"] == self.calls["announce"]
        assert counts["announced"] == len(self.expected.announced)
        assert counts["refused"] == 0

    def teardown(self) -> None:
        self.now += 2 * DEADLINE
        self.expire()
        assert self.expected.labels.keys() == self.expected.announced.keys()
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
    windows, _ = windows_of(FAMILY, deadline=DEADLINE, max_cameras=4, max_open=8, history=3, suspect_after=2)
    windows.set_node("n0", (DIGEST, 0), 0)
    vote = Vote((1,), (1.0,), DIGEST)
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
        assert len(list(windows._open)) <= 8
        assert len(windows.cameras.names()) <= 4
        assert sum(len(known._queue) for known in windows.cameras) <= 8
        assert all(len(known._finished) <= 3 for known in windows.cameras)
    closed += windows.expire(now + DEADLINE)
    assert Counter((result.camera, result.announce.frame) for result in closed) == +accepted
    assert windows.next_deadline() is None
