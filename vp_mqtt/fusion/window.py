"""A window: the state of one frame, from its announce to its label. Pure: the clock is passed in.

Each family's votes on the frame are kept apart: votes of two bundles are never added up.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.tally import Tally
from vp_mqtt.fusion.voters import Voters
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote


@dataclass(frozen=True, eq=False, slots=True)
class WindowResult:
    """The result of one frame's window.

    Attributes:
        camera: whose frame it was.
        announce: the camera's announce of the frame.
        family: whose votes were fused.
        opened: when the window opened, in s, on the caller's monotonic clock.
        closed: when the votes were closed, on the same clock.
        votes: by variant index, those that arrived in time.
        alive: variants of the family known to be alive when the votes were closed, in ascending order.
        winner: the class index, None without a vote.
        score: the winner's share, 0..1, of the softmax of all classes' sums; None without a vote.
        closed_by: why the votes were closed.
    """

    camera: str
    announce: Announce
    family: Family
    opened: float
    closed: float
    votes: dict[int, Vote]
    alive: tuple[int, ...]
    winner: int | None
    score: float | None
    closed_by: ClosedBy


@dataclass(frozen=True, slots=True)
class _Closing:
    reason: ClosedBy
    at: float
    alive: tuple[int, ...]


class FamilyVotes:
    """The votes of one family on one frame."""

    def __init__(self, family: Family) -> None:
        """Start without votes."""
        self.family = family
        self.votes: dict[int, Vote] = {}
        self._tally = Tally(family.weights, family.classes)
        self._closing: _Closing | None = None
        self._awaited: set[int] = set()
        self._awaited_as_of = -1

    @property
    def is_open(self) -> bool:
        """Whether votes still count."""
        return self._closing is None

    def add(self, variant: int, vote: Vote) -> None:
        """Add a variant's first vote.

        Raises:
            IndexError: the variant, or a class in the vote, is not one of the family's.
        """
        self._tally.add(variant, vote)
        self.votes[variant] = vote

    def outstanding(self, window: Window, passed: AbstractSet[int]) -> set[int]:
        """Return the variants whose vote is still waited for.

        Args:
            window: that of the votes.
            passed: the variants that have voted on a newer frame of the camera.
        """
        liveness = self.family.liveness
        if self._awaited_as_of != liveness.version:
            self._awaited = liveness.awaited(window.camera, window.opened)
            self._awaited_as_of = liveness.version
        return self._awaited.difference(self.votes, passed)

    def reason_to_close(self, window: Window, passed: AbstractSet[int]) -> ClosedBy | None:
        """Return why there is no vote left to wait for; None while there is. Arguments as for `outstanding`."""
        outstanding = self.outstanding(window, passed)
        if self.votes:
            if not outstanding:
                return ClosedBy.COMPLETE
            return ClosedBy.DECIDED if self._tally.is_decided(outstanding) else None
        return ClosedBy.SKIPPED if passed and not outstanding else None

    def close(self, reason: ClosedBy, now: float) -> None:
        """Close the votes, if they are open: later ones do not count."""
        if self._closing is None:
            self._closing = _Closing(reason, now, tuple(sorted(self.family.liveness.alive())))

    def share(self) -> float:
        """Return the share of the family's weight that has voted, 0..1."""
        return self.family.share(self.votes.keys())

    def result(self, camera: str, announce: Announce, opened: float) -> WindowResult:
        """Return the result of a window by these votes.

        Raises:
            ValueError: they are still open.
        """
        if self._closing is None:
            raise ValueError("votes are still open")
        winner = self._tally.winner() if self.votes else None
        return WindowResult(
            camera=camera,
            announce=announce,
            family=self.family,
            opened=opened,
            closed=self._closing.at,
            votes=self.votes,
            alive=self._closing.alive,
            winner=winner,
            score=None if winner is None else self._tally.score(winner),
            closed_by=self._closing.reason,
        )


class Finished(NamedTuple):
    """What is remembered of a frame whose window is removed.

    Attributes:
        opened: when the window had opened, in s.
        order: the window's place in the order of the camera's announces.
        voters: the variants that have voted on it.
    """

    opened: float
    order: int
    voters: Voters


@dataclass(eq=False, slots=True)
class Window:
    """The state of one frame.

    Attributes:
        camera: whose frame it is.
        announce: the camera's announce of it, which opened the window.
        opened: when that arrived, in s, on the caller's monotonic clock.
        order: the frame's place in the order of the camera's announces.
        by_family: each family's votes, by the family's digest.
        voters: the variants that have voted on it, also after their family's votes were closed.
        result: None until the window is decided.
        is_labelled: the result was handed out.
    """

    camera: str
    announce: Announce
    opened: float
    order: int
    by_family: dict[bytes, FamilyVotes] = field(default_factory=dict)
    voters: Voters = field(default_factory=Voters)
    result: WindowResult | None = None
    is_labelled: bool = False

    @property
    def frame(self) -> FrameId:
        """The frame's id."""
        return self.announce.frame

    @property
    def has_votes(self) -> bool:
        """Whether a variant of any family has voted."""
        return any(votes.votes for votes in self.by_family.values())

    def votes_of(self, family: Family) -> FamilyVotes:
        """Return the family's votes."""
        votes = self.by_family.get(family.digest)
        if votes is None:
            votes = self.by_family[family.digest] = FamilyVotes(family)
        return votes

    def finished(self) -> Finished:
        """Return what is to be remembered of the frame."""
        return Finished(self.opened, self.order, self.voters)

    def open_votes(self) -> list[FamilyVotes]:
        """Return the votes of the families whose votes still count."""
        return [votes for votes in self.by_family.values() if votes.is_open]

    def close(self, reason: ClosedBy, now: float) -> None:
        """Close the votes of every family."""
        for votes in self.open_votes():
            votes.close(reason, now)

    def decide(self, leader: Family) -> None:
        """Set the result, once there is no vote left to wait for.

        It is that of the leading family's votes; where there are none, that of the family with the largest share of
        its weight in votes.
        """
        if self.result is not None:
            return
        best = self.by_family.get(leader.digest)
        if best is None or best.is_open or not best.votes:
            if self.open_votes():
                return
            # Of equal ones the leader's; `max` keeps the first.
            candidates = sorted(self.by_family.values(), key=lambda votes: votes.family is not leader)
            best = max(candidates, key=FamilyVotes.share)
        self.result = best.result(self.camera, self.announce, self.opened)
