"""Windows with several families: what becomes of votes when one is removed, and who decides a label."""

from __future__ import annotations

import pytest

from tests.support.fusing import manifest, windows_of
from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.window import FamilyVotes, Window
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote

DEADLINE = 10.0
A, B, C, D = (manifest((1.0, 1.0), 3, name=name) for name in ("a", "b", "c", "d"))


def vote(digest: bytes, class_index: int = 1, probability: float = 1.0) -> Vote:
    return Vote((class_index,), (probability,), digest)


def frame(sequence: int) -> FrameId:
    return FrameId(1, sequence)


def announce(sequence: int) -> Announce:
    return Announce(frame(sequence), 0.0)


def test_a_vote_of_an_unknown_family_is_a_key_error() -> None:
    windows, _ = windows_of(A, deadline=DEADLINE)
    with pytest.raises(KeyError):
        windows.vote("cam", frame(1), 0, vote(B.short_digest), 1)


def test_a_frame_that_waited_only_for_a_family_that_is_removed_is_labelled_at_once() -> None:
    windows, handover = windows_of(A, B, C, deadline=DEADLINE)
    for node, (one, variant) in enumerate([(A, 0), (C, 0), (B, 0), (A, 1), (C, 1)]):
        windows.set_node(f"n{node}", (one.short_digest, variant), 0)
    windows.announce("cam", announce(1), 1)
    windows.announce("cam", announce(2), 2)
    # All variants of A and C skip frame 1; of B none has said anything.
    results = [
        result
        for one in (A, C)
        for variant in (0, 1)
        for result in windows.vote("cam", frame(2), variant, vote(one.short_digest), 3)
    ]
    assert results == []
    due = windows.add_family(D, 4)
    assert B.short_digest not in {family.digest for family in handover.families()}
    assert [(result.announce.frame, result.winner) for result in due] == [(frame(1), None), (frame(2), 1)]
    assert due[0].family is handover.leader, "of equal shares the leader's"


def test_votes_of_a_removed_family_on_a_frame_without_an_announce_are_dropped() -> None:
    windows, _ = windows_of(A, B, C, deadline=DEADLINE)
    for node, (one, variant) in enumerate([(A, 0), (A, 1), (B, 0), (C, 0), (C, 1)]):
        windows.set_node(f"n{node}", (one.short_digest, variant), 0)
    windows.vote("cam", frame(1), 1, vote(B.short_digest), 1)
    assert windows.add_family(D, 2) == []
    assert windows.add_family(B, 3) == []
    windows.announce("cam", announce(1), 4)
    (result,) = windows.expire(20)
    assert result.votes == {}


def test_how_far_the_variants_of_a_removed_family_got_is_forgotten() -> None:
    windows, handover = windows_of(A, B, C, deadline=DEADLINE)
    windows.set_node("a", (A.short_digest, 0), 0)
    windows.set_node("c", (C.short_digest, 0), 0)
    windows.announce("cam", announce(5), 1)
    windows.vote("cam", frame(5), 0, vote(B.short_digest), 1)
    frames = windows.cameras["cam"]
    older = Window("cam", announce(4), 0.0, 0)
    assert frames.passed(B.short_digest, older) == {0}
    handover.suspect(0)
    windows.set_node("b", (B.short_digest, 0), 1)
    windows.set_node("b", None, 1)
    windows.add_family(D, 2)
    assert handover.find(B.short_digest) is None
    assert frames.passed(B.short_digest, older) == set()


def test_of_equal_shares_of_votes_the_leaders_decide() -> None:
    windows, handover = windows_of(A, B, deadline=DEADLINE)
    windows.set_node("b", (B.short_digest, 0), 0)
    assert handover.leader.manifest is B
    windows.announce("cam", announce(1), 1)
    (result,) = windows.expire(11)
    assert result.family is handover.leader


def test_frames_that_waited_for_the_old_leader_are_labelled_when_another_leads() -> None:
    windows, handover = windows_of(A, B, deadline=DEADLINE)
    windows.set_node("a0", (A.short_digest, 0), 0)
    windows.announce("cam", announce(1), 1)
    assert windows.vote("cam", frame(1), 0, vote(B.short_digest), 2) == []
    assert handover.leader.manifest is A
    windows.announce("other", announce(1), 3)
    # With this vote more of B's weight is alive than of A's.
    results = windows.vote("other", frame(1), 1, vote(B.short_digest), 4)
    assert handover.leader.manifest is B
    assert [(result.camera, result.winner) for result in results] == [("cam", 1)]


def test_other_families_votes_stay_open_after_the_label_until_their_deadline() -> None:
    windows, handover = windows_of(A, B, deadline=DEADLINE, suspect_after=1)
    for variant in (0, 1):
        windows.set_node(f"a{variant}", (A.short_digest, variant), 0)
    windows.set_node("b0", (B.short_digest, 0), 0)
    windows.announce("cam", announce(1), 1)
    results = [r for variant in (0, 1) for r in windows.vote("cam", frame(1), variant, vote(A.short_digest), 2)]
    assert [result.winner for result in results] == [1]
    assert windows.next_deadline() == 11
    assert windows.expire(11) == []
    assert windows.next_deadline() is None
    other = handover.find(B.short_digest)
    assert other is not None
    assert 0 in other.liveness.suspected()


def test_a_window_that_is_decided_before_an_older_one_is_finished_with_it() -> None:
    windows, _ = windows_of(A, deadline=DEADLINE)
    for variant in (0, 1):
        windows.set_node(f"a{variant}", (A.short_digest, variant), 0)
    windows.announce("cam", announce(1), 1)
    windows.announce("cam", announce(2), 1)
    windows.vote("cam", frame(1), 0, vote(A.short_digest, 1, 0.1), 2)
    # Frame 2 is decided by one vote only if nothing outstanding can change it.
    windows.vote("cam", frame(2), 0, vote(A.short_digest, 1, 0.1), 2)
    results = windows.vote("cam", frame(2), 1, vote(A.short_digest, 1, 0.1), 3)
    assert [result.announce.frame for result in results] == [frame(1), frame(2)]
    assert windows.next_deadline() is None


def test_windows_released_with_an_older_one_are_removed() -> None:
    windows, _ = windows_of(A, deadline=DEADLINE)
    for variant in (0, 1):
        windows.set_node(f"a{variant}", (A.short_digest, variant), 0)
    windows.announce("cam", announce(1), 1)
    # Frames of another run: votes on them say nothing about frame 1.
    later = FrameId(2, 0)
    windows.announce("cam", Announce(later, 0.0), 1)
    for variant in (0, 1):
        assert windows.vote("cam", later, variant, vote(A.short_digest), 2) == []
    windows.vote("cam", frame(1), 0, vote(A.short_digest), 3)
    assert len(windows.vote("cam", frame(1), 1, vote(A.short_digest), 3)) == 2
    assert windows.next_deadline() is None


# The limits by default


def test_windows_open_by_default() -> None:
    windows, _ = windows_of(A, deadline=DEADLINE)
    for camera in range(5):
        for sequence in range(1025):
            windows.announce(f"cam{camera}", announce(sequence), 1)
    assert (windows.counts["announced"], windows.counts["refused"]) == (4096, 5 * 1025 - 4096)


def test_cameras_known_by_default() -> None:
    windows, _ = windows_of(A, deadline=DEADLINE)
    for number in range(257):
        windows.announce(f"cam{number}", announce(0), 1)
    assert (windows.counts["announced"], windows.counts["refused"]) == (256, 1)
    windows.expire(20)
    for number in range(300):
        windows.announce(f"other{number}", announce(0), 1000)
    assert len(windows.cameras.names()) == 256


def test_frames_remembered_by_default() -> None:
    windows, _ = windows_of(A, deadline=DEADLINE)
    for sequence in range(1025):
        windows.announce("cam", announce(sequence), 1)
        windows.expire(20)
    frames = windows.cameras["cam"]
    assert [frames.finished(frame(sequence)) is None for sequence in (0, 1)] == [True, False]


# One family's votes


def test_votes_are_closed_once_and_give_a_result_only_then() -> None:
    votes = FamilyVotes(Family(A, suspect_after=3))
    with pytest.raises(ValueError, match="still open"):
        votes.result("cam", announce(1), 0.0)
    votes.close(ClosedBy.DECIDED, 1.0)
    votes.close(ClosedBy.DEADLINE, 2.0)
    result = votes.result("cam", announce(1), 0.0)
    assert (result.closed_by, result.closed) == (ClosedBy.DECIDED, 1.0)


def test_a_window_is_decided_once() -> None:
    family = Family(A, suspect_after=3)
    window = Window("cam", announce(1), 0.0, 1)
    window.votes_of(family)
    window.decide(family)
    assert window.result is None
    window.votes_of(family).close(ClosedBy.DEADLINE, 1.0)
    window.decide(family)
    result = window.result
    window.decide(family)
    assert window.result is result is not None
