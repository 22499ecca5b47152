from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.emulation.impairment import Direction, Impairment
from benchmarks.faults.soak import Sample, growth
from benchmarks.testbed.recording import RecordedLabel, Recording, summarise
from vp_mqtt.protocol.frames import FrameId


def _label(sequence: int, at: float, label: str | None = "a", truth: str | None = "a") -> RecordedLabel:
    return RecordedLabel(FrameId(1, sequence), at, label, truth)


def test_lost_late_twice_and_unordered_labels_are_counted() -> None:
    recording = Recording(announced={FrameId(1, n): float(n) for n in range(5)})
    recording.labels = [_label(0, 0.1), _label(2, 2.31), _label(1, 2.4, None), _label(0, 3.0), _label(3, 3.1, "b")]
    recording.votes = {2: [3.5]}
    figures = summarise(recording, deadline=0.25, fault_began_at=0.5, fault_ended_at=3.0, affected=[2])
    assert (figures.announced, figures.labelled, figures.without_votes, figures.lost) == (5, 3, 1, 1)
    assert (figures.late, figures.twice, figures.out_of_order) == (2, 1, 2)
    assert figures.recovery_s == 0.5
    assert (figures.accuracy, figures.accuracy_meanwhile) == (0.5, 0.5)


def test_what_never_comes_back_has_no_time_to_recover() -> None:
    assert summarise(Recording(), deadline=0.25, fault_began_at=0, fault_ended_at=1).recovery_s is None


@given(st.lists(st.floats(0, 0.1), max_size=50), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_link_without_loss_delivers_every_packet_once_within_its_delay(
    gaps: list[float], delay: float, jitter: float
) -> None:
    way = Direction(random.Random(3))
    way.impairment = Impairment(delay=delay, jitter=jitter)
    now = 0.0
    for number, gap in enumerate(gaps):
        now += gap
        way.put(bytes([number]), now)
    assert sorted(way.take(now + delay + jitter + 1e-9)) == [bytes([n]) for n in range(len(gaps))]
    assert way.next_due() is None


def test_a_cut_link_delivers_nothing_and_a_narrow_one_drops_what_would_wait_too_long() -> None:
    way = Direction(random.Random(3))
    way.impairment = Impairment(loss=1.0)
    way.put(b"x", 0.0)
    assert way.take(10.0) == []
    way.impairment = Impairment(rate=100)
    for _ in range(10):
        way.put(b"x" * 50, 0.0)
    assert [len(way.take(at)) for at in (0.4, 0.51, 1.01, 9.0)] == [0, 1, 1, 1]


def test_growth_leaves_the_warm_up_out() -> None:
    samples = [Sample(rss, 5, 9) for rss in (10, 60, 100, 100, 100, 100, 110, 110)]
    assert growth(samples) == {"rss_mb": 0.1, "threads": 0.0, "descriptors": 0.0}
