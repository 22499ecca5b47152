from __future__ import annotations

import pytest

from vp_mqtt.demo.record import Record
from vp_mqtt.demo.shares import Share
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.protocol.votes import Vote

CLASSES = ("cat", "dog", "bird")
CAPTURED = 1000.0


def announce(sequence: int, truth: str | None = "cat") -> Announce:
    return Announce(FrameId(1, sequence), CAPTURED + sequence, truth)


def vote(first: int, second: int = 0) -> Vote:
    return Vote((first, second), (0.6, 0.4), b"abcd")


def label(sequence: int, name: str | None) -> LabelMessage:
    return LabelMessage(
        camera="demo",
        frame=str(FrameId(1, sequence)),
        label=name,
        class_index=None if name is None else CLASSES.index(name),
        confidence=None if name is None else 0.6,
        score=None if name is None else 0.5,
        voted=(),
        missing=(),
        alive=(),
        closed_by=ClosedBy.COMPLETE,
        latency_ms=1.0,
        captured=CAPTURED + sequence,
        valid_for_s=5.0,
        bundle="tiny",
    )


def record(variants: int = 2) -> Record:
    return Record(CLASSES, variants)


def seen(record: Record, sequence: int, truth: str | None, *, fused: str | None, votes: dict[int, int]) -> None:
    """Let a frame pass, with its votes (class by variant) and its label."""
    record.add_announce(announce(sequence, truth))
    for variant, first in votes.items():
        record.add_vote(FrameId(1, sequence), variant, vote(first, (first + 1) % 3), 20, 50)
    record.add_label(label(sequence, fused), CAPTURED + sequence + 0.01)


def test_accuracy_is_the_share_of_right_answers_fused_and_by_variant() -> None:
    seen_frames = record(3)
    seen(seen_frames, 0, "cat", fused="cat", votes={0: 0, 1: 1})
    seen(seen_frames, 1, "dog", fused="dog", votes={0: 1, 1: 1})
    seen(seen_frames, 2, "bird", fused="dog", votes={0: 1})
    assert seen_frames.shares().values() == {"fused": 0.6667, "variants": [0.6667, 0.5, None]}


def test_a_frame_without_a_label_counts_against_the_fused_accuracy() -> None:
    seen_frames = record()
    seen(seen_frames, 0, "cat", fused="cat", votes={0: 0})
    seen(seen_frames, 1, "cat", fused=None, votes={})
    seen_frames.add_announce(announce(2))
    seen_frames.add_announce(announce(3))
    assert seen_frames.shares().values() == {"fused": 0.25, "variants": [1.0, None]}
    assert seen_frames.labelled() == 2


def test_frames_of_unknown_truth_are_not_evaluated() -> None:
    seen_frames = record()
    seen(seen_frames, 0, None, fused="cat", votes={0: 0, 1: 1})
    assert seen_frames.shares().values() == {"fused": None, "variants": [None, None]}
    seen(seen_frames, 1, "dog", fused="dog", votes={0: 0, 1: 1})
    assert seen_frames.shares().values() == {"fused": 1.0, "variants": [0.0, 1.0]}


def test_without_frames_there_is_no_accuracy() -> None:
    assert record(1).shares().values() == {"fused": None, "variants": [None]}


def test_frames_before_and_after_the_kill_are_distinguished() -> None:
    seen_frames = record()
    seen(seen_frames, 0, "cat", fused="cat", votes={0: 0, 1: 0})
    seen(seen_frames, 1, "cat", fused="cat", votes={0: 0, 1: 1})
    seen_frames.killed = (1,)
    seen(seen_frames, 2, "dog", fused="cat", votes={0: 1})
    before = seen_frames.shares(lambda frame: not frame.is_after_kill).values()
    after = seen_frames.shares(lambda frame: frame.is_after_kill).values()
    assert before == {"fused": 1.0, "variants": [1.0, 0.5]}
    assert after == {"fused": 0.0, "variants": [1.0, None]}


def test_a_frame_announced_before_the_kill_and_labelled_after_it_counts_as_before() -> None:
    seen_frames = record()
    seen_frames.add_announce(announce(0))
    seen_frames.killed = (1,)
    seen_frames.add_label(label(0, "cat"), CAPTURED + 1)
    assert [frame.is_after_kill for frame in seen_frames.frames.values()] == [False]
    assert seen_frames.shares(lambda frame: frame.is_after_kill).values() == {"fused": None, "variants": [None, None]}


def test_votes_that_arrive_before_the_announce_count() -> None:
    seen_frames = record()
    seen_frames.add_vote(FrameId(1, 0), 1, vote(2), 20, 50)
    assert seen_frames.frames == {}
    seen_frames.add_announce(announce(0, "bird"))
    seen_frames.add_vote(FrameId(1, 0), 0, vote(1), 20, 50)
    assert seen_frames.frames[FrameId(1, 0)].votes == {1: "bird", 0: "dog"}
    assert seen_frames.shares().values()["variants"] == [0.0, 1.0]


def test_a_second_announce_of_a_frame_changes_nothing() -> None:
    seen_frames = record()
    seen(seen_frames, 0, "cat", fused="cat", votes={0: 0})
    seen_frames.add_announce(announce(0, "dog"))
    assert len(seen_frames.frames) == 1
    assert seen_frames.shares().values() == {"fused": 1.0, "variants": [1.0, None]}


def test_labels_are_counted_frame_by_frame_and_those_of_unknown_frames_are_left_out() -> None:
    seen_frames = record()
    seen(seen_frames, 0, "cat", fused="cat", votes={})
    seen_frames.add_label(label(0, "cat"), CAPTURED + 1)
    seen_frames.add_label(label(7, "cat"), CAPTURED + 8)
    assert [frame.labels for frame in seen_frames.frames.values()] == [2]
    assert seen_frames.labelled() == 1


def test_the_response_time_runs_from_capture_to_the_labels_arrival() -> None:
    seen_frames = record()
    for sequence in range(101):
        seen_frames.add_announce(announce(sequence))
        seen_frames.add_label(label(sequence, "cat"), CAPTURED + sequence + sequence / 1000)
    assert seen_frames.latency_ms() == pytest.approx({"p50": 50.0, "p95": 95.0, "p99": 99.0}, abs=0.01)


def test_without_labels_there_is_no_response_time() -> None:
    seen_frames = record()
    seen_frames.add_announce(announce(0))
    assert seen_frames.latency_ms() == {"p50": None, "p95": None, "p99": None}


def test_clocks_that_disagree_make_no_negative_response_time() -> None:
    seen_frames = record()
    seen_frames.add_announce(announce(0))
    seen_frames.add_label(label(0, "cat"), CAPTURED - 5)
    assert seen_frames.latency_ms()["p50"] == 0.0


def test_the_sizes_are_those_of_the_largest_vote() -> None:
    seen_frames = record()
    for payload, packet in ((20, 60), (24, 50), (12, 40)):
        seen_frames.add_vote(FrameId(1, 0), 0, vote(1), payload, packet)
    assert seen_frames.vote_bytes == {"payload": 24, "packet": 60}


def test_pictures_of_other_classes_are_named_and_not_evaluated() -> None:
    seen_frames = record()
    seen(seen_frames, 0, "cat", fused="cat", votes={0: 0})
    seen(seen_frames, 1, "horse", fused="dog", votes={0: 1})
    summary = seen_frames.summary()
    assert summary["accuracy"] == {"fused": 1.0, "variants": [1.0, None]}
    assert summary["not_classes"] == {"horse": 1}


def test_a_picture_of_none_of_the_classes_is_right_without_a_label() -> None:
    seen_frames = Record((*CLASSES, "none"), 1)
    for sequence, (voted, fused) in enumerate([((0,), None), ((), None), ((0,), "cat")]):
        seen_frames.add_announce(announce(sequence, "none"))
        seen_frames.add_label(label(sequence, fused).model_copy(update={"voted": voted}), CAPTURED + sequence)
    assert seen_frames.shares().fused == Share(1, 3)
    assert seen_frames.summary()["answers"] == {"unknown": 1, "cat": 1}


def test_the_fused_label_is_compared_with_one_variant_on_the_same_frames() -> None:
    seen_frames = Record(CLASSES, 2, strongest=1)
    for sequence in range(100):
        # The fused label is right three times where variant 1 is not, and wrong once where it is.
        voted = {0: 2, 1: 1 if sequence < 3 else 0}
        seen(seen_frames, sequence, "cat", fused="dog" if sequence == 3 else "cat", votes=voted)
    seen(seen_frames, 100, "cat", fused="cat", votes={0: 0})
    found = seen_frames.summary()["fused_minus_variant"]
    assert (found["variant"], found["difference"]) == (1, 0.02)
    low, high = found["interval_95"]
    assert -0.03 < low < 0
    assert 0.02 < high < 0.07


def test_without_truth_nothing_is_compared() -> None:
    seen_frames = record()
    seen(seen_frames, 0, None, fused="cat", votes={0: 0, 1: 1})
    summary = seen_frames.summary()
    assert summary["fused_minus_variant"] is None
    assert summary["after_minus_before"] is None
    assert summary["interval_95"] == {"fused": None, "variants": [None, None]}


def test_what_dead_boards_cost_comes_with_an_interval() -> None:
    seen_frames = record()
    for sequence in range(200):
        if sequence == 100:
            seen_frames.killed = (1,)
        seen(seen_frames, sequence, "cat", fused="cat" if sequence % 10 else "dog", votes={0: 0})
    found = seen_frames.summary()["after_minus_before"]
    assert found["difference"] == 0
    assert found["interval_95"] == [-found["interval_95"][1], found["interval_95"][1]]
    assert 0.05 < found["interval_95"][1] < 0.12
