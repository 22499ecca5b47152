"""Which variants a window waits for, rule by rule, and what is remembered; whole seconds, a deadline of ten."""

from __future__ import annotations

import pytest

from tests.support.fusing import windows_of
from tests.unit.fusion.test_windows import DIGEST, FAMILY, announced, certain, frame, online, only, sequences, silence
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId

# Silent variants


def test_a_silent_variant_is_no_longer_waited_for_after_so_many_frames() -> None:
    windows = online(0, 1, suspect_after=3)
    now = silence(windows, 0, frames=2)
    assert windows.counts["suspected"] == 0
    windows.announce("cam", announced(1), now)
    assert windows.vote("cam", frame(1), 0, certain(1), now + 1) == []
    windows.expire(now + 10)
    assert windows.counts["suspected"] == 1
    windows.announce("cam", announced(2), now + 20)
    result = only(windows.vote("cam", frame(2), 0, certain(1), now + 21))
    assert result.closed_by is ClosedBy.COMPLETE
    assert result.alive == (0, 1)


def test_windows_in_which_only_a_silent_variant_is_outstanding_close_as_soon_as_it_is_suspected() -> None:
    windows = online(0, 1, suspect_after=1)
    for now, run in ((0, 1), (5, 2)):
        windows.announce("cam", announced(1, run), now)
        assert windows.vote("cam", frame(1, run), 0, certain(1), now + 1) == []
    closed = windows.expire(10)
    assert [(result.announce.frame.run, result.closed_by) for result in closed] == [
        (1, ClosedBy.DEADLINE),
        (2, ClosedBy.COMPLETE),
    ]


def test_a_variant_becomes_suspected_beside_one_that_is_not_yet() -> None:
    windows = online(0, 1, 2, suspect_after=2)
    now = silence(windows, 0, 2, frames=1)
    for at, run, voters in ((now, 1, (0,)), (now + 5, 2, (0, 2))):
        windows.announce("cam", announced(1, run), at)
        for variant in voters:
            assert windows.vote("cam", frame(1, run), variant, certain(variant, 0.1), at) == []
    closed = windows.expire(now + 10)
    assert [(result.announce.frame.run, result.closed_by) for result in closed] == [
        (1, ClosedBy.DEADLINE),
        (2, ClosedBy.COMPLETE),
    ]


def test_a_frame_that_nobody_votes_on_is_held_against_no_one() -> None:
    windows = online(0, 1, suspect_after=1)
    silence(windows, frames=10)
    assert windows.counts["suspected"] == 0


def test_silence_on_one_cameras_frames_changes_nothing_for_those_of_another() -> None:
    windows = online(0, 1, suspect_after=1)
    now = silence(windows, 0, frames=10)
    windows.announce("other", announced(1), now)
    assert windows.vote("other", frame(1), 0, certain(1), now + 1) == []
    assert only(windows.vote("other", frame(1), 1, certain(1), now + 2)).closed_by is ClosedBy.COMPLETE


def test_every_suspected_variant_is_counted() -> None:
    windows = online(0, 1, 2, suspect_after=1)
    silence(windows, 0, frames=1)
    assert windows.counts["suspected"] == 2


def test_a_vote_in_time_brings_a_silent_variant_back() -> None:
    windows = online(0, 1, suspect_after=3)
    now = silence(windows, 0, frames=3)
    windows.announce("cam", announced(1), now)
    windows.vote("cam", frame(1), 1, certain(1), now + 1)
    windows.vote("cam", frame(1), 0, certain(1), now + 2)
    windows.announce("cam", announced(2), now + 3)
    assert windows.vote("cam", frame(2), 0, certain(1), now + 4) == []
    assert len(windows.vote("cam", frame(2), 1, certain(1), now + 5)) == 1


def test_a_vote_that_is_late_only_because_it_was_not_waited_for_brings_the_variant_back() -> None:
    windows = online(0, 1, suspect_after=3)
    now = silence(windows, 0, frames=3)
    windows.announce("cam", announced(1), now)
    assert len(windows.vote("cam", frame(1), 0, certain(1), now + 1)) == 1
    windows.vote("cam", frame(1), 1, certain(1), now + 10)
    assert windows.counts["late"] == 1
    windows.announce("cam", announced(2), now + 12)
    assert windows.vote("cam", frame(2), 0, certain(1), now + 13) == []


def test_a_vote_that_would_have_been_late_anyway_does_not_bring_the_variant_back() -> None:
    windows = online(0, 1, suspect_after=3)
    now = silence(windows, 0, frames=3)
    windows.announce("cam", announced(1), now)
    assert len(windows.vote("cam", frame(1), 0, certain(1), now + 1)) == 1
    windows.vote("cam", frame(1), 1, certain(1), now + 10.001)
    windows.announce("cam", announced(2), now + 12)
    assert len(windows.vote("cam", frame(2), 0, certain(1), now + 13)) == 1


def test_a_variant_whose_status_is_not_known_is_waited_for_once_it_has_voted() -> None:
    windows = online(0)
    windows.announce("cam", announced(1), 1)
    windows.vote("cam", frame(1), 2, certain(1, 0.5), 2)
    windows.vote("cam", frame(1), 0, certain(1, 0.5), 3)
    windows.announce("cam", announced(2), 4)
    assert windows.vote("cam", frame(2), 0, certain(1, 0.5), 5) == []
    assert only(windows.vote("cam", frame(2), 2, certain(1, 0.5), 6)).alive == (0, 2)


# Variants that have voted on a newer frame


def test_a_variant_that_voted_on_a_newer_frame_is_not_waited_for_on_older_ones() -> None:
    windows = online(0, 1)
    for sequence in (1, 2):
        windows.announce("cam", announced(sequence), sequence)
    windows.vote("cam", frame(1), 0, certain(1, 0.5), 3)
    closed = windows.vote("cam", frame(2), 1, certain(2), 4)
    assert only(closed).closed_by is ClosedBy.COMPLETE
    assert sorted(only(closed).votes) == [0]


def test_a_frame_that_all_variants_have_left_out_closes_as_skipped() -> None:
    windows = online(0, 1)
    for sequence in (1, 2):
        windows.announce("cam", announced(sequence), sequence)
    assert windows.vote("cam", frame(2), 0, certain(1, 0.5), 3) == []
    closed = windows.vote("cam", frame(2), 1, certain(1, 0.5), 4)
    assert [(result.closed_by, result.winner) for result in closed] == [
        (ClosedBy.SKIPPED, None),
        (ClosedBy.COMPLETE, 1),
    ]
    assert sequences(closed) == [1, 2]


def test_a_variant_that_left_a_frame_out_is_not_silent() -> None:
    windows = online(0, 1, suspect_after=1)
    for sequence in (1, 2):
        windows.announce("cam", announced(sequence), sequence)
    windows.vote("cam", frame(2), 0, certain(1, 0.5), 3)
    windows.expire(12)
    assert 0 not in windows._handover.leader.liveness.suspected()
    assert 1 in windows._handover.leader.liveness.suspected()


@pytest.mark.parametrize(
    ("camera", "newer"),
    [("other", frame(2)), ("cam", frame(2, run=2)), ("cam", frame(0, run=2)), ("cam", frame(3))],
    ids=["of another camera", "of a later run", "first of a later run", "without an announce"],
)
def test_a_vote_on_a_newer_frame_means_nothing_for_this_one_if_that_is(camera: str, newer: FrameId) -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 1)
    if newer != frame(3):
        windows.announce(camera, Announce(newer, 0.0), 1)
    assert windows.vote(camera, newer, 1, certain(1, 0.5), 2) == []
    assert windows.vote("cam", frame(1), 0, certain(1, 0.5), 3) == []
    assert sequences(windows.vote("cam", frame(1), 1, certain(1, 0.5), 4)) == [1]


def test_a_vote_before_its_announce_shows_too_that_the_variant_skipped_older_frames() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 1)
    windows.vote("cam", frame(1), 0, certain(1, 0.5), 2)
    windows.vote("cam", frame(2), 1, certain(1, 0.5), 3)
    assert sequences(windows.announce("cam", announced(2), 4)) == [1]


def test_a_late_vote_shows_too_that_the_variant_skipped_older_frames() -> None:
    windows = online(0, 1, 2)
    for sequence in (1, 2):
        windows.announce("cam", announced(sequence), sequence)
    windows.vote("cam", frame(2), 0, certain(1), 3)
    assert windows.vote("cam", frame(2), 1, certain(1), 4) == []
    # Frame 2 is decided, its label only waits for frame 1, and no variant is left to wait for on that one now.
    closed = windows.vote("cam", frame(2), 2, certain(1), 5)
    assert windows.counts["late"] == 1
    assert [(result.announce.frame.sequence, result.closed_by) for result in closed] == [
        (1, ClosedBy.SKIPPED),
        (2, ClosedBy.DECIDED),
    ]


@pytest.mark.parametrize("jump", [2**32 - 1, 1000])
def test_a_sequence_number_that_jumps_does_not_keep_later_frames_from_being_waited_for(jump: int) -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(jump), 1)
    for variant in (0, 1):
        windows.vote("cam", frame(jump), variant, certain(1), 2)
    for sequence in range(5, 50):
        windows.announce("cam", announced(sequence), sequence)
        assert windows.vote("cam", frame(sequence), 0, certain(1), sequence) == []
        assert sequences(windows.vote("cam", frame(sequence), 1, certain(1), sequence)) == [sequence]


# Coming and going


def test_a_variant_that_came_after_a_window_opened_is_not_waited_for_in_it() -> None:
    windows = online(0)
    windows.announce("cam", announced(1), 1)
    windows.set_node("new", (DIGEST, 1), 2)
    assert only(windows.vote("cam", frame(1), 0, certain(1), 3)).alive == (0, 1)
    windows.announce("cam", announced(2), 4)
    assert windows.vote("cam", frame(2), 0, certain(1), 5) == []


def test_a_vote_of_a_variant_that_came_after_a_window_opened_counts_in_it() -> None:
    windows = online(0)
    windows.announce("cam", announced(1), 1)
    windows.set_node("new", (DIGEST, 1), 2)
    windows.vote("cam", frame(1), 1, certain(2), 3)
    assert sorted(only(windows.vote("cam", frame(1), 0, certain(1, 0.5), 4)).votes) == [0, 1]


def test_open_windows_wait_no_more_for_a_variant_that_goes() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 1)
    windows.vote("cam", frame(1), 0, certain(1), 2)
    result = only(windows.set_node("node1", None, 3))
    assert result.closed_by is ClosedBy.COMPLETE
    assert result.alive == (0,)
    assert result.closed == 3


def test_a_variant_on_two_nodes_is_waited_for_until_both_are_gone() -> None:
    windows = online(0, 1)
    windows.set_node("spare", (DIGEST, 1), 0)
    windows.announce("cam", announced(1), 1)
    windows.vote("cam", frame(1), 0, certain(1), 2)
    assert windows.set_node("node1", None, 3) == []
    assert len(windows.set_node("spare", None, 4)) == 1


def test_a_node_that_changes_its_variant_closes_windows_that_waited_for_the_old_one() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 1)
    windows.vote("cam", frame(1), 0, certain(1), 2)
    assert len(windows.set_node("node1", (DIGEST, 2), 3)) == 1


def test_when_all_variants_are_gone_a_frame_without_votes_waits_for_the_deadline() -> None:
    windows = online(0)
    windows.announce("cam", announced(1), 1)
    assert windows.set_node("node0", None, 2) == []
    assert windows.expire(10) == []
    assert only(windows.expire(11)).winner is None


def test_a_late_vote_on_a_frame_of_before_a_restart_does_not_make_windows_wait_again() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(0, run=1), 0)
    windows.expire(10)
    for sequence in (4, 5):
        windows.announce("cam", announced(sequence, run=2), 11)
    windows.vote("cam", frame(5, run=2), 1, certain(0), 12)
    windows.vote("cam", frame(0, run=1), 1, certain(0), 13)
    # Variant 1 has voted on frame 5 of this run: frame 4 does not wait for it.
    assert sequences(windows.vote("cam", frame(4, run=2), 0, certain(0, 0.1), 14)) == [4]


def test_a_suspect_is_waited_for_no_longer_in_windows_that_are_open() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 1)
    windows.vote("cam", frame(1), 0, certain(1, 0.5), 2)
    assert only(windows.suspect(1, 3)).winner == 1
    assert windows.suspect(9, 3) == []


# Several nodes that share a variant's frames


def test_of_a_variant_whose_frames_several_nodes_share_a_vote_on_a_newer_frame_leaves_out_no_older_one() -> None:
    windows, handover = windows_of(FAMILY, deadline=10)
    handover.leader.replicated.add(1)
    for variant in (0, 1):
        windows.set_node(f"v{variant}", (DIGEST, variant), 0)
    for sequence in (1, 2):
        windows.announce("cam", announced(sequence), 1)
        assert windows.vote("cam", frame(sequence), 0, certain(1, 0.1), 1) == []
    assert windows.vote("cam", frame(2), 1, certain(1), 2) == []
    older, newer = windows.vote("cam", frame(1), 1, certain(1), 3)
    assert set(older.votes) == set(newer.votes) == {0, 1}
