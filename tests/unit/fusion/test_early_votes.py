"""Votes that come before their frame's announce: kept for a while, and so many of each variant."""

from __future__ import annotations

from collections import Counter

from vp_mqtt.fusion.early_votes import EarlyVote, EarlyVotes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.votes import Vote

VOTE = Vote((1,), (1.0,), b"aaaa")
OTHER = Vote((1,), (1.0,), b"bbbb")
FRAME = FrameId(1, 5)


def early(variant: int, vote: Vote = VOTE) -> EarlyVote:
    return EarlyVote(variant, vote, 0.0)


def test_votes_are_taken_once_in_the_order_of_their_arrival() -> None:
    votes = EarlyVotes(keep_s=10, counts=Counter())
    kept = [early(2), early(0), early(0, OTHER)]
    assert all(votes.add("cam", FRAME, one, now) for now, one in enumerate(kept))
    assert votes.take("other", FRAME) == votes.take("cam", FrameId(2, 5)) == []
    assert votes.take("cam", FRAME) == kept
    assert votes.take("cam", FRAME) == []
    assert (len(votes), votes.next_expiry()) == (0, None)


def test_a_second_vote_of_a_variant_on_a_frame_is_not_kept() -> None:
    votes = EarlyVotes(keep_s=10, counts=Counter())
    first = early(2)
    assert votes.add("cam", FRAME, first, 0)
    assert not votes.add("cam", FRAME, early(2), 1)
    assert votes.take("cam", FRAME) == [first]


def test_votes_are_dropped_and_counted_after_a_while() -> None:
    counts: Counter[str] = Counter()
    votes = EarlyVotes(keep_s=10, counts=counts)
    for now, variant in ((0, 0), (4, 1)):
        votes.add("cam", FRAME, early(variant), now)
    assert votes.next_expiry() == 10
    votes.expire(9)
    assert len(votes) == 2
    votes.expire(10)
    assert (counts["unannounced"], votes.next_expiry()) == (1, 14)
    assert [one.variant for one in votes.take("cam", FRAME)] == [1]


def test_a_variant_that_invents_frames_displaces_no_other_variants_votes() -> None:
    counts: Counter[str] = Counter()
    votes = EarlyVotes(keep_s=10, counts=counts)
    votes.add("cam", FRAME, early(0), 0)
    for sequence in range(1500):
        votes.add(f"cam{sequence}", FrameId(9, sequence), early(1), 1)
    assert len(votes) == 1 + 1024
    assert counts["unannounced"] == 1500 - 1024
    assert len(votes.take("cam", FRAME)) == 1
    votes.expire(11)
    assert (len(votes), counts["unannounced"]) == (0, 1500)
    votes.add("cam", FRAME, early(1), 12)
    assert len(votes) == 1


def test_votes_of_a_removed_family_are_dropped() -> None:
    votes = EarlyVotes(keep_s=10, counts=Counter())
    votes.add("cam", FRAME, early(0), 0)
    kept = early(0, OTHER)
    votes.add("cam", FRAME, kept, 0)
    votes.forget_family(VOTE.digest)
    assert votes.take("cam", FRAME) == [kept]
