"""The windows' rules, one by one, on a clock of whole seconds with a deadline of ten."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.fusing import manifest, windows_of
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote

CLASSES = 4
DEADLINE = 10.0
FAMILY = manifest((1.0, 1.0, 1.0), CLASSES)
DIGEST = FAMILY.short_digest


def certain(class_index: int, probability: float = 1.0) -> Vote:
    return Vote((class_index,), (probability,), DIGEST)


def frame(sequence: int, run: int = 1) -> FrameId:
    return FrameId(run, sequence)


def announced(sequence: int, run: int = 1) -> Announce:
    return Announce(frame(sequence, run), captured=1000.0 + sequence)


def online(*variants: int, **options: Any) -> Windows:
    """Return windows for three variants, of which these are online since 0."""
    windows, _ = windows_of(FAMILY, deadline=DEADLINE, **options)
    for variant in variants:
        windows.set_node(f"node{variant}", (DIGEST, variant), 0)
    return windows


def sequences(closed: list[WindowResult]) -> list[int]:
    return [result.announce.frame.sequence for result in closed]


def only(closed: list[WindowResult]) -> WindowResult:
    assert len(closed) == 1
    return closed[0]


def silence(windows: Windows, *present: int, frames: int, start: float = 100) -> float:
    """Let frames pass on which only those present vote; return the time after the last one's deadline."""
    now = start
    for sequence in range(1000, 1000 + frames):
        windows.announce("cam", announced(sequence), now)
        for variant in present:
            windows.vote("cam", frame(sequence), variant, certain(0, 0.1), now)
        now += DEADLINE
        windows.expire(now)
    return now


# Why a window closes


def test_a_window_closes_when_every_variant_known_to_be_alive_has_voted() -> None:
    windows = online(0, 1)
    assert windows.announce("cam", announced(1), 5) == []
    assert windows.vote("cam", frame(1), 0, certain(2, 0.5), 6) == []
    result = only(windows.vote("cam", frame(1), 1, certain(2, 0.25), 7))
    assert result.camera == "cam"
    assert result.announce == announced(1)
    assert (result.opened, result.closed) == (5, 7)
    assert result.closed_by is ClosedBy.COMPLETE
    assert result.alive == (0, 1)
    assert result.winner == 2
    assert sorted(result.votes) == [0, 1]
    assert result.score == pytest.approx(math.exp(0.75) / (math.exp(0.75) + 3))
    assert windows.next_deadline() is None


def test_a_window_closes_when_no_outstanding_vote_can_change_the_winner() -> None:
    windows = online(0, 1, 2)
    windows.announce("cam", announced(1), 5)
    assert windows.vote("cam", frame(1), 0, certain(3), 6) == []
    result = only(windows.vote("cam", frame(1), 2, certain(3, 0.5), 7))
    assert result.closed_by is ClosedBy.DECIDED
    assert result.winner == 3
    assert sorted(result.votes) == [0, 2]
    assert result.alive == (0, 1, 2)


def test_a_window_waits_while_an_outstanding_vote_could_level_the_score() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 5)
    assert windows.vote("cam", frame(1), 0, certain(3), 6) == []
    result = only(windows.vote("cam", frame(1), 1, certain(2), 7))
    assert result.winner == 2


def test_a_window_closes_at_its_deadline_and_not_before() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 5)
    windows.vote("cam", frame(1), 0, certain(1), 6)
    assert windows.next_deadline() == 15
    assert windows.expire(14.999) == []
    result = only(windows.expire(15))
    assert result.closed_by is ClosedBy.DEADLINE
    assert result.winner == 1
    assert result.closed == 15
    assert windows.next_deadline() is None
    assert windows.expire(1000) == []


def test_a_deadline_that_is_noticed_late_still_closes_every_window_in_order() -> None:
    windows = online(0)
    for sequence in range(5):
        windows.announce("cam", announced(sequence), sequence)
    assert sequences(windows.expire(1000)) == [0, 1, 2, 3, 4]


def test_with_no_variant_known_to_be_alive_a_window_waits_for_its_deadline() -> None:
    windows = online()
    assert windows.announce("cam", announced(1), 5) == []
    assert windows.expire(14) == []
    result = only(windows.expire(15))
    assert result.closed_by is ClosedBy.DEADLINE
    assert result.alive == ()


def test_a_frame_without_votes_gives_a_result_without_a_winner() -> None:
    windows = online(0, 1, 2)
    windows.announce("cam", announced(1), 5)
    result = only(windows.expire(15))
    assert result.winner is None
    assert result.votes == {}
    assert result.score is None
    assert result.alive == (0, 1, 2)


# Announces and votes, in whatever order


def test_the_announce_opens_the_window_and_starts_its_time_whatever_came_before() -> None:
    windows = online(0, 1)
    windows.vote("cam", frame(1), 0, certain(1), 3)
    windows.announce("cam", announced(1), 5)
    assert windows.next_deadline() == 15
    result = only(windows.expire(15))
    assert result.opened == 5
    assert sorted(result.votes) == [0]


def test_a_vote_before_the_announce_closes_no_window_before_the_others_had_their_time() -> None:
    windows = online(0, 1, 2)
    windows.vote("cam", frame(1), 0, certain(3), 1)
    assert windows.announce("cam", announced(1), 10) == []
    assert windows.vote("cam", frame(1), 1, certain(1), 19) == []
    result = only(windows.vote("cam", frame(1), 2, certain(1), 19))
    assert (result.winner, sorted(result.votes)) == (1, [0, 1, 2])


def test_votes_on_frames_that_nobody_announces_are_held_against_no_one() -> None:
    windows = online(0, 1, suspect_after=1)
    for sequence in range(100):
        windows.vote("nobody", frame(sequence), 1, certain(1), sequence)
        windows.expire(sequence)
    windows.announce("cam", announced(1), 100)
    assert windows.vote("cam", frame(1), 1, certain(3), 100) == []
    assert only(windows.vote("cam", frame(1), 0, certain(3), 101)).closed_by is ClosedBy.COMPLETE
    assert windows.counts["suspected"] == 0


def test_a_second_early_vote_of_a_variant_is_counted_and_dropped() -> None:
    windows = online(0)
    windows.vote("cam", frame(1), 0, certain(1), 3)
    windows.vote("cam", frame(1), 0, certain(2), 4)
    assert only(windows.announce("cam", announced(1), 5)).winner == 1
    assert windows.counts["duplicate_votes"] == 1


def test_an_unknown_variant_or_class_in_an_early_vote_is_an_index_error() -> None:
    windows = online(0)
    for variant, vote in ((3, certain(1)), (0, certain(CLASSES))):
        with pytest.raises(IndexError):
            windows.vote("cam", frame(1), variant, vote, 6)


def test_a_frame_whose_votes_all_came_before_its_announce_is_complete_with_it() -> None:
    windows = online(0, 1)
    assert windows.vote("cam", frame(1), 0, certain(1), 3) == []
    assert windows.vote("cam", frame(1), 1, certain(1), 4) == []
    result = only(windows.announce("cam", announced(1), 5))
    assert result.closed_by is ClosedBy.COMPLETE
    assert result.winner == 1


def test_an_announce_that_comes_after_the_votes_deadline_still_gives_one_result() -> None:
    windows = online(0, 1)
    windows.vote("cam", frame(1), 0, certain(1), 3)
    assert windows.expire(13) == []
    closed = [*windows.announce("cam", announced(1), 14), *windows.expire(24), *windows.expire(100)]
    assert sequences(closed) == [1]
    assert windows.counts["duplicate_announces"] == 0


def test_a_late_vote_is_counted_and_dropped() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 5)
    result = only(windows.expire(15))
    assert windows.vote("cam", frame(1), 0, certain(1), 16) == []
    assert result.votes == {}
    assert windows.next_deadline() is None
    assert windows.counts["late"] == 1
    assert windows.counts["votes"] == 0


def test_a_second_vote_of_a_variant_is_counted_and_dropped() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 5)
    windows.vote("cam", frame(1), 0, certain(1, 0.4), 6)
    assert windows.vote("cam", frame(1), 0, certain(3, 0.9), 7) == []
    result = only(windows.vote("cam", frame(1), 1, certain(1, 0.1), 8))
    assert result.winner == 1
    assert result.votes[0].classes == (1,)
    assert windows.counts["duplicate_votes"] == 1
    assert windows.counts["votes"] == 2


def test_a_second_vote_after_the_votes_were_closed_is_a_duplicate_and_not_late() -> None:
    windows = online(0, 1, 2)
    counts = windows.counts
    for sequence in range(1, 6):
        opened = 100 * sequence
        windows.announce("cam", announced(sequence), opened)
        windows.vote("cam", frame(sequence), 0, certain(1), opened + 1)
        # Decided without the third variant.
        only(windows.vote("cam", frame(sequence), 1, certain(1), opened + 2))
        for variant in (0, 1):
            assert windows.vote("cam", frame(sequence), variant, certain(2), opened + 3) == []
        assert (counts["duplicate_votes"], counts["late"]) == (4 * sequence - 2, sequence - 1)
        windows.vote("cam", frame(sequence), 2, certain(2), opened + 4)
        assert counts["late"] == sequence
        for variant in (1, 2):
            windows.vote("cam", frame(sequence), variant, certain(2), opened + 90)
        assert (counts["duplicate_votes"], counts["late"]) == (4 * sequence, sequence)
    assert counts["votes"] == 10
    assert counts["overdue"] == 0


def test_a_second_announce_is_counted_and_dropped_while_the_window_is_open_and_after() -> None:
    windows = online(0)
    windows.announce("cam", announced(1), 5)
    assert windows.announce("cam", Announce(frame(1), captured=7.0), 6) == []
    result = only(windows.vote("cam", frame(1), 0, certain(1), 7))
    assert result.announce == announced(1)
    assert windows.announce("cam", announced(1), 8) == []
    assert windows.expire(100) == []
    assert windows.counts["duplicate_announces"] == 2
    assert windows.counts["announced"] == 1


def test_a_frame_that_is_never_announced_gives_no_result_and_delays_none() -> None:
    windows = online(0, 1)
    windows.vote("cam", frame(1), 0, certain(1), 3)
    windows.vote("cam", frame(1), 1, certain(1), 3)
    windows.announce("cam", announced(2), 4)
    windows.vote("cam", frame(2), 0, certain(1), 5)
    assert sequences(windows.vote("cam", frame(2), 1, certain(1), 6)) == [2]
    assert windows.expire(13) == []
    assert windows.next_deadline() is None
    assert windows.counts["unannounced"] == 2
    windows.vote("cam", frame(3), 0, certain(1), 14)
    windows.expire(24)
    assert windows.counts["unannounced"] == 3


def test_votes_on_frames_without_an_announce_do_not_displace_remembered_frames() -> None:
    windows = online(0, history=5)
    windows.announce("cam", announced(1), 0)
    assert sequences(windows.expire(10)) == [1]
    for sequence in range(100, 110):
        windows.vote("cam", frame(sequence), 0, certain(1), 11)
    windows.expire(30)
    assert windows.announce("cam", announced(1), 31) == []
    assert windows.expire(100) == []
    assert windows.counts["duplicate_announces"] == 1


def test_an_unknown_variant_or_class_is_an_index_error() -> None:
    windows = online(0)
    windows.announce("cam", announced(1), 5)
    with pytest.raises(IndexError):
        windows.vote("cam", frame(1), 3, certain(1), 6)
    with pytest.raises(IndexError):
        windows.vote("cam", frame(1), 0, certain(CLASSES), 6)
    assert only(windows.expire(15)).votes == {}


# Order


def test_results_come_in_frame_order() -> None:
    windows = online(0, 1, 2)
    for sequence in (1, 2, 3):
        windows.announce("cam", announced(sequence), sequence)
    windows.vote("cam", frame(1), 0, certain(1, 0.5), 4)
    windows.vote("cam", frame(3), 0, certain(1), 5)
    assert windows.vote("cam", frame(3), 1, certain(1), 6) == []
    assert sequences(windows.expire(11)) == [1]
    closed = windows.expire(12)
    assert sequences(closed) == [2, 3]
    assert (closed[1].closed_by, closed[1].closed) == (ClosedBy.DECIDED, 6)


def test_a_frame_of_one_camera_does_not_delay_those_of_another() -> None:
    windows = online(0)
    windows.announce("slow", announced(1), 1)
    windows.announce("fast", announced(1), 2)
    assert only(windows.vote("fast", frame(1), 0, certain(1), 3)).camera == "fast"


def test_frames_of_a_restarted_camera_come_after_those_before() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(9, run=5), 1)
    windows.announce("cam", announced(0, run=3), 2)
    windows.vote("cam", frame(0, run=3), 0, certain(1), 3)
    assert windows.vote("cam", frame(0, run=3), 1, certain(1), 3) == []
    assert sequences(windows.expire(11)) == [9, 0]


def test_announces_in_descending_order_delay_no_label_beyond_its_deadline() -> None:
    windows = online(0)
    labels = 0
    for sequence in range(100, 0, -1):
        now = 400 - 4 * sequence
        for result in [*windows.expire(now), *windows.announce("cam", announced(sequence), now)]:
            assert now < result.opened + DEADLINE + 4
            labels += 1
    assert labels > 90


def test_a_label_that_is_decided_waits_for_an_older_frame_at_most_until_its_own_deadline() -> None:
    windows = online(0, 1, 2)
    windows.announce("cam", announced(2), 0)
    windows.announce("cam", announced(1), 4)
    windows.vote("cam", frame(2), 0, certain(1), 5)
    assert windows.vote("cam", frame(2), 1, certain(1), 5) == []
    assert windows.next_deadline() == 10
    assert sequences(windows.expire(10)) == [1, 2]
