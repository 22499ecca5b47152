"""Which variants a window waits for, rule by rule, and what is remembered; whole seconds, a deadline of ten."""

from __future__ import annotations

import pickle

import pytest

from tests.unit.fusion.test_windows import DIGEST, announced, certain, frame, online, only, sequences, silence
from vp_mqtt.fusion.windows import Windows
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
    windows.announce("cam", announced(1), 0)
    windows.announce("other", announced(1), 5)
    assert windows.vote("other", frame(1), 0, certain(1), 6) == []
    closed = windows.expire(10)
    assert [(result.camera, result.closed_by) for result in closed] == [
        ("cam", ClosedBy.DEADLINE),
        ("other", ClosedBy.COMPLETE),
    ]


def test_a_variant_becomes_suspected_beside_one_that_is_not_yet() -> None:
    windows = online(0, 1, 2, suspect_after=2)
    now = silence(windows, 0, 2, frames=1)
    windows.announce("cam", announced(1), now)
    windows.vote("cam", frame(1), 0, certain(1, 0.1), now)
    windows.announce("other", announced(1), now + 5)
    for variant in (0, 2):
        assert windows.vote("other", frame(1), variant, certain(variant, 0.1), now + 6) == []
    closed = windows.expire(now + 10)
    assert [(result.camera, result.closed_by) for result in closed] == [
        ("cam", ClosedBy.DEADLINE),
        ("other", ClosedBy.COMPLETE),
    ]


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
    assert not windows._handover.leader.liveness.is_suspected(0)
    assert windows._handover.leader.liveness.is_suspected(1)


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


def test_a_variant_is_not_waited_for_on_an_older_frame_that_is_announced_after_its_vote() -> None:
    windows = online(0)
    windows.announce("cam", announced(2), 1)
    assert sequences(windows.vote("cam", frame(2), 0, certain(1), 2)) == [2]
    assert only(windows.announce("cam", announced(1), 3)).closed_by is ClosedBy.SKIPPED


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
    windows.announce("cam", announced(5, run=2), 11)
    windows.vote("cam", frame(5, run=2), 1, certain(0), 12)
    windows.vote("cam", frame(5, run=2), 0, certain(0), 12)
    windows.vote("cam", frame(0, run=1), 1, certain(0), 13)
    # Variant 1 has voted on frame 5 of this run: frame 4, announced late, does not wait for it.
    windows.announce("cam", announced(4, run=2), 14)
    windows.vote("cam", frame(4, run=2), 0, certain(0, 0.1), 14)
    assert windows.next_deadline() is None


# Limits


def test_no_more_windows_are_open_than_allowed_and_what_is_refused_is_counted() -> None:
    windows = online(0, max_open=2)
    windows.announce("cam", announced(1), 1)
    windows.vote("cam", frame(2), 0, certain(1), 2)
    assert windows.announce("cam", announced(3), 3) == []
    assert windows.vote("cam", frame(4), 0, certain(1), 3) == []
    assert windows.announce("cam", announced(5), 3) == []
    assert windows.counts["refused"] == 2
    windows.vote("cam", frame(1), 0, certain(1), 4)
    windows.announce("cam", announced(6), 5)
    assert sequences(windows.expire(100)) == [3, 6]


def test_windows_without_an_announce_make_room_for_announced_ones() -> None:
    windows = online(0, max_open=3)
    windows.announce("cam", announced(1), 0)
    for sequence in range(100, 200):
        windows.vote("cam", frame(sequence), 1, certain(2), 1)
    windows.announce("cam", announced(2), 2)
    assert windows.counts["refused"] == 0
    labels = windows.vote("cam", frame(1), 0, certain(1), 3)
    labels += windows.vote("cam", frame(2), 0, certain(1), 3)
    labels += windows.expire(100)
    assert [(label.announce.frame.sequence, label.winner) for label in labels] == [(1, 1), (2, 1)]


def test_a_suspect_is_waited_for_no_longer_in_windows_that_are_open() -> None:
    windows = online(0, 1)
    windows.announce("cam", announced(1), 1)
    windows.vote("cam", frame(1), 0, certain(1, 0.5), 2)
    assert only(windows.suspect(1, 3)).winner == 1
    assert windows.suspect(9, 3) == []


def test_frames_whose_label_waits_for_an_older_one_count_against_the_limit_too() -> None:
    windows = online(0, 1, max_open=4)
    windows.announce("cam", announced(0), 0)
    windows.vote("cam", frame(0), 1, certain(1), 0)
    labels = []
    for sequence in range(1, 50):
        labels += windows.announce("cam", announced(sequence), 1)
        for variant in (1, 0):
            labels += windows.vote("cam", frame(sequence), variant, certain(1), 1)
    labels += windows.expire(100)
    assert sequences(labels) == list(range(len(labels)))
    assert windows.counts["announced"] == len(labels)


def test_the_camera_that_was_idle_for_longest_makes_room_for_a_new_one() -> None:
    windows = online(0, max_cameras=2)
    for now, camera in enumerate(("a", "b", "a", "c")):
        windows.announce(camera, announced(now), now)
        windows.vote(camera, frame(now), 0, certain(1), now)
    assert windows.counts["refused"] == 0
    windows.announce("a", announced(2), 5)
    assert windows.counts["duplicate_announces"] == 1


def test_a_new_camera_is_refused_while_all_those_remembered_have_windows_open() -> None:
    windows = online(0, max_cameras=2)
    windows.announce("a", announced(1), 1)
    windows.announce("b", announced(1), 2)
    assert windows.announce("c", announced(1), 3) == []
    assert windows.counts["refused"] == 1
    assert [result.camera for result in windows.expire(100)] == ["a", "b"]
    windows.announce("c", announced(1), 101)
    assert [result.camera for result in windows.expire(200)] == ["c"]


def test_of_each_camera_only_so_many_of_the_newest_frames_are_remembered() -> None:
    windows = online(0, history=3)
    for sequence in range(5):
        windows.announce("cam", announced(sequence), sequence)
        windows.vote("cam", frame(sequence), 0, certain(1), sequence)
    for sequence in (2, 3, 4):
        windows.vote("cam", frame(sequence), 0, certain(1), 5)
    assert windows.counts["late"] == 3
    windows.vote("cam", frame(1), 0, certain(1), 5)
    assert windows.counts["late"] == 3
    assert len(windows._open.frames("cam")._finished) == 3


def _work(windows: Windows, rounds: range) -> None:
    for n in rounds:
        camera, now = f"cam{n % 20}", float(n)
        windows.announce(camera, announced(n), now)
        windows.announce(camera, announced(n - 60), now)
        windows.vote(camera, frame(n), n % 2, certain(n % 4), now)
        windows.vote(f"unknown{n}", frame(n), 2, certain(1), now)
        windows.vote(camera, frame(n + 10**6), 2, certain(1), now)
        windows.set_node(f"node{n % 3}", (DIGEST, n % 3) if n % 4 else None, now)
        windows.expire(now)


def test_memory_is_bounded() -> None:
    windows = online(0, 1, max_cameras=30, history=20, max_open=50)
    _work(windows, range(1_000))
    size = len(pickle.dumps(windows))
    _work(windows, range(1_000, 4_000))
    assert len(pickle.dumps(windows)) < 1.2 * size


def test_memory_is_bounded_in_the_number_of_nodes_that_claim_to_be_online() -> None:
    windows = online(0, 1)
    sizes = []
    for thousand in range(20):
        for n in range(1000):
            windows.set_node(f"unknown{thousand}-{n}", (DIGEST, n % 3), 1)
        sizes.append(len(pickle.dumps(windows)))
    assert sizes[-1] < 1.2 * sizes[9]
