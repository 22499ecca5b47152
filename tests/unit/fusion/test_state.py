"""The state machine: what it promises, whatever the labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vp_mqtt.fusion.state import CameraState, SeenLabel, StateMachine, StateRules

RULES = StateRules(labels=3, window=5, hysteresis=1, dwell=1.0, timeout=10.0)
SHARE = st.floats(0, 1)
NAMES = st.sampled_from(["open", "closed", "half", None])
LABELS = st.builds(SeenLabel, NAMES, SHARE, st.frozensets(st.integers(0, 5)))
# Time before each label, in s, and the label.
STEPS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 2.0, 5.0, 11.0]), LABELS), max_size=60)


@st.composite
def rules(draw: st.DrawFn) -> StateRules:
    window = draw(st.integers(1, 8))
    labels = draw(st.integers(1, window))
    dwell = draw(st.sampled_from([0.0, 0.3, 1.0]))
    return StateRules(labels, window, draw(st.integers(0, window - labels)), dwell, draw(st.floats(1.0, 20.0)))


def seen(names: str, confidence: float = 0.9) -> list[SeenLabel]:
    """Return labels by their letters; "-" is unknown."""
    return [SeenLabel(None if name == "-" else name, confidence) for name in names]


class Run:
    """A machine, and every change with the time at which it came."""

    def __init__(self, rules: StateRules, before: CameraState | None = None) -> None:
        self.machine = StateMachine(rules, 0.0, before)
        self.now = 0.0
        self.changes: list[tuple[float, CameraState]] = []

    def _take(self, state: CameraState | None) -> None:
        if state is not None:
            assert state == self.machine.state
            self.changes.append((self.now, state))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(1000):
            due = self.machine.next_due()
            if due > until:
                break
            self.now = max(self.now, due)
            self._take(self.machine.tick(self.now, self.now))
        else:
            pytest.fail("always due")
        self.now = until

    def note(self, labels: Iterable[SeenLabel], every: float = 0.1) -> None:
        for label in labels:
            self.wait(every)
            self._take(self.machine.note(label, self.now, self.now))

    def names(self) -> list[str | None]:
        return [state.label for _, state in self.changes]


@settings(max_examples=40)
@given(st.lists(st.tuples(rules(), STEPS), min_size=1, max_size=3))
def test_rules_that_change_meanwhile_make_no_change_that_is_none(parts: list[tuple[StateRules, list[Any]]]) -> None:
    run = Run(parts[0][0])
    for its, steps in parts:
        made, state = len(run.changes), run.machine.state
        run.machine.set_rules(its)
        assert (len(run.changes), run.machine.state) == (made, state)
        for pause, label in steps:
            run.note([label], pause)
        for (before, last), (after, changed) in pairwise(run.changes[max(0, made - 1) :]):
            assert changed.label != last.label
            assert changed.since >= last.since
            assert after - before >= its.dwell - 1e-9


def test_other_rules_count_the_labels_before_them() -> None:
    run = Run(RULES)
    run.note(seen("aaa"))
    run.note(seen("bbb"))
    assert run.names() == ["a"]
    run.wait(2)
    run.machine.set_rules(StateRules(labels=2, window=3, hysteresis=0, dwell=1.0, timeout=4.0))
    run.wait(0.1)
    assert run.names() == ["a", "b"]
    run.machine.set_rules(StateRules(labels=2, window=3, hysteresis=0, dwell=1.0, timeout=8.0))
    run.wait(7)
    assert run.names() == ["a", "b"]
    run.machine.set_rules(StateRules(labels=2, window=3, hysteresis=0, dwell=1.0, timeout=1.0))
    run.wait(0.1)
    assert run.names() == ["a", "b", None]


def run_of(rules: StateRules, steps: Iterable[tuple[float, SeenLabel]]) -> Run:
    run = Run(rules)
    for pause, label in steps:
        run.note([label], pause)
    return run


@given(rules(), STEPS)
def test_no_two_equal_states_follow_each_other(rules: StateRules, steps: list[tuple[float, SeenLabel]]) -> None:
    names = run_of(rules, steps).names()
    assert all(one != other for one, other in pairwise(names))


@given(rules(), STEPS)
def test_states_last_for_the_dwell_time_and_their_beginnings_are_in_order(
    rules: StateRules, steps: list[tuple[float, SeenLabel]]
) -> None:
    changes = run_of(rules, steps).changes
    for (before, last), (after, state) in pairwise(changes):
        assert after - before >= rules.dwell - 1e-9
        assert state.since >= last.since
        assert round(state.since, 3) > round(last.since, 3), "also where it is written in ms"
        assert state.previous == last.label
        assert (state.confidence is None) == (state.label is None)
        assert not (state.is_timeout and state.label is not None)


@given(rules(), LABELS, st.integers(0, 7), st.floats(0, 0.9))
def test_the_same_label_again_and_again_is_the_state_after_so_many_and_stays(
    rules: StateRules, label: SeenLabel, more: int, every: float
) -> None:
    run = Run(rules)
    run.note([label] * (rules.labels - 1), every / 8)
    assert run.changes == []
    run.note([label], every / 8)
    assert run.names() == [label.name]
    run.note([label] * more, every / 8)
    assert run.names() == [label.name]


@given(rules(), STEPS, st.permutations(["open", "closed", "half"]))
def test_classes_are_all_alike(
    rules: StateRules, steps: list[tuple[float, SeenLabel]], names: list[str | None]
) -> None:
    # But that of two with the same evidence one must be chosen: no two confidences add up to the same here.
    other = dict(zip(["open", "closed", "half"], names, strict=True)) | {None: None}
    weighted = [
        (pause, SeenLabel(one.name, 0.5 + 2.0 ** -(n % 40 + 2), one.variants)) for n, (pause, one) in enumerate(steps)
    ]
    renamed = [(pause, SeenLabel(other[one.name], one.confidence, one.variants)) for pause, one in weighted]
    changes, others = run_of(rules, weighted).changes, run_of(rules, renamed).changes
    assert [(at, other[state.label], state.confidence) for at, state in changes] == [
        (at, state.label, state.confidence) for at, state in others
    ]


@given(rules(), STEPS)
def test_flicker_is_bounded_each_change_takes_labels_of_its_own(
    rules: StateRules, steps: list[tuple[float, SeenLabel]]
) -> None:
    by_labels = [state for _, state in run_of(rules, steps).changes if not state.is_timeout]
    assert len(by_labels) <= len(steps) / rules.labels


@given(rules(), st.lists(LABELS, max_size=60))
def test_what_never_has_enough_of_the_last_labels_never_becomes_the_state(
    rules: StateRules, labels: list[SeenLabel]
) -> None:
    run = Run(rules)
    for number, label in enumerate(labels):
        before = len(run.changes)
        run.note([label], 0.01)
        if len(run.changes) > before:
            # The end of the dwell time may have come just before this label.
            last = [one.name for one in labels[max(0, number - rules.window) : number + 1]]
            assert last.count(run.changes[-1][1].label) >= rules.labels


@given(rules(), LABELS, st.floats(0.1, 100))
def test_silence_makes_a_state_unknown_in_time_and_once(rules: StateRules, label: SeenLabel, more: float) -> None:
    run = Run(rules)
    run.note([label] * rules.labels, 0.01)
    decided, at = run.machine.state, run.now
    run.wait(rules.timeout - 0.01)
    assert run.machine.state == decided
    run.wait(more)
    if label.name is None:
        assert len(run.changes) == 1
        assert math.isinf(run.machine.next_due())
    else:
        when, state = run.changes[-1]
        assert (len(run.changes), state.label, state.is_timeout, state.previous) == (2, None, True, label.name)
        assert when == pytest.approx(at + rules.timeout)


def test_to_leave_a_label_takes_more_than_to_leave_unknown() -> None:
    run = Run(RULES)
    run.note(seen("aaa"))
    run.wait(2)
    run.note(seen("bbb"))
    assert run.names() == ["a"]
    run.note(seen("b"))
    assert run.names() == ["a", "b"]
    run.wait(2)
    run.note(seen("----"))
    run.wait(2)
    run.note(seen("aaa"))
    assert run.names() == ["a", "b", None, "a"]


def test_unknown_labels_take_a_place_among_the_last() -> None:
    run = Run(RULES)
    run.note(seen("a--a--a--"))
    assert run.names() == [None]
    run.wait(1)
    run.note(seen("a-a-a"))
    assert run.names() == [None, "a"]


def test_few_confident_labels_outweigh_more_doubtful_ones() -> None:
    run = Run(RULES)
    run.note([*seen("aa", 0.95), *seen("bbb", 0.4)])
    assert run.names() == []
    run.note(seen("b", 0.4))
    assert run.names() == ["b"]


def test_how_sure_an_unknown_label_is_of_its_closest_class_is_no_evidence() -> None:
    run = Run(RULES)
    run.note([*seen("--", 0.9), *seen("aaa", 0.1)])
    assert run.names() == ["a"]


def test_a_change_within_the_dwell_time_comes_at_its_end_without_a_further_label() -> None:
    run = Run(RULES)
    run.note(seen("aaa"))
    run.note(seen("bbbb"))
    assert run.names() == ["a"]
    run.wait(5)
    assert run.names() == ["a", "b"]
    assert run.changes[1][0] == pytest.approx(run.changes[0][0] + RULES.dwell)


def test_heartbeats_of_a_still_scene_keep_the_state_and_a_label_every_now_and_then_does_not_change_it() -> None:
    run = Run(RULES)
    run.note(seen("aaa"))
    run.note(seen("aabaaacaa-aabaa"), every=4)
    assert run.names() == ["a"]
    assert run.machine.state is not None
    assert run.machine.state.since == run.changes[0][0]


def test_labels_that_agree_with_nothing_time_out_too() -> None:
    run = Run(RULES)
    run.note(seen("aaa"))
    run.note(seen("bcdbcdbcd"), every=2)
    assert run.names() == ["a", None]
    assert run.changes[1][1].is_timeout


def test_a_camera_of_few_frames_times_out_no_sooner_than_its_labels() -> None:
    run = Run(RULES)
    label = SeenLabel("a", 0.9, valid_for=70.0)
    run.note([label], every=0)
    run.note([label] * 5, every=60)
    assert run.names() == ["a"]
    run.wait(69)
    assert run.names() == ["a"]
    run.wait(2)
    assert run.names() == ["a", None]


def test_a_state_tells_the_confidence_and_the_variants_that_made_it() -> None:
    run = Run(RULES)
    votes = [("a", 0.6, {0, 2}), ("b", 0.9, {1}), ("a", 0.8, {2}), ("a", 0.7, {0, 4})]
    run.note(SeenLabel(name, confidence, frozenset(variants)) for name, confidence, variants in votes)
    state = run.machine.state
    assert state is not None
    assert (state.label, state.agreeing, state.previous) == ("a", (0, 2, 4), None)
    assert state.confidence == pytest.approx(0.7)


def test_after_a_restart_the_same_label_is_the_same_state() -> None:
    before = CameraState("a", since=-500.0, previous="b", confidence=0.8, agreeing=(1,))
    run = Run(RULES, before)
    run.note(seen("aaa", 0.5))
    assert [state for _, state in run.changes] == [before]


def test_after_a_restart_another_label_and_silence_are_changes() -> None:
    before = CameraState("a", since=-500.0)
    run = Run(RULES, before)
    run.note(seen("bbb"))
    assert [(state.label, state.previous) for _, state in run.changes] == [("b", "a")]
    silent = Run(RULES, before)
    silent.wait(11)
    assert [(at, one.label, one.previous) for at, one in silent.changes] == [(10.0, None, "a")]


def test_a_wall_clock_that_is_set_back_does_not_set_back_the_beginning() -> None:
    machine = StateMachine(RULES, 0.0)
    for number, label in enumerate(seen("aaa")):
        machine.note(label, number, 1000.0)
    for number, label in enumerate(seen("bbbb")):
        machine.note(label, 4 + number, 400.0)
    assert machine.state is not None
    assert (machine.state.label, machine.state.since) == ("b", 1000.001)


@pytest.mark.parametrize(
    ("labels", "window", "hysteresis", "dwell", "timeout"),
    [(0, 5, 0, 0, 1), (3, 5, 3, 0, 1), (6, 5, 0, 0, 1), (3, 5, -1, 0, 1), (3, 5, 0, 2, 1), (3, 5, 0, -1, 1)],
)
def test_rules_that_contradict_each_other_are_refused(
    labels: int, window: int, hysteresis: int, dwell: float, timeout: float
) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        StateRules(labels, window, hysteresis, dwell, timeout)
