"""Votes that arrive before the announce of their frame. Pure: the clock is passed in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.votes import Vote

# Frames of all cameras that a variant can have voted on within a deadline, before their announces.
_MAX_PER_VARIANT = 1024

_Key = tuple[str, FrameId, bytes, int]


@dataclass(frozen=True, eq=False, slots=True)
class EarlyVote:
    """A vote that waits for its frame's announce.

    Attributes:
        variant: whose vote it is.
        vote: the vote.
        arrived: when it arrived, in s, on the caller's monotonic clock.
    """

    variant: int
    vote: Vote
    arrived: float


class EarlyVotes:
    """The votes on frames that were not announced yet.

    They are kept for a while, so many per variant, so that one that invents frames displaces no other's votes. They
    open no window and start no clock: nothing follows from them until the camera has announced their frame.
    """

    def __init__(self, *, keep_s: float, counts: Counter[str]) -> None:
        """Start without votes.

        Args:
            keep_s: how long a vote is kept, in s.
            counts: "unannounced" (votes that were dropped) is counted there.
        """
        self._keep_s = keep_s
        self._counts = counts
        # In the order of their arrival, which is that of their end.
        self._votes: dict[_Key, float] = {}
        self._by_frame: dict[tuple[str, FrameId], dict[tuple[bytes, int], EarlyVote]] = {}
        self._per_variant: Counter[tuple[bytes, int]] = Counter()

    def __len__(self) -> int:
        return len(self._votes)

    def add(self, camera: str, frame: FrameId, early: EarlyVote, now: float) -> bool:
        """Keep a vote; return False if the variant has one on this frame already."""
        source = early.vote.digest, early.variant
        of_frame = self._by_frame.get((camera, frame))
        if of_frame is not None and source in of_frame:
            return False
        if self._per_variant[source] >= _MAX_PER_VARIANT:
            self._counts["unannounced"] += 1
            return True
        if of_frame is None:
            of_frame = self._by_frame[camera, frame] = {}
        of_frame[source] = early
        self._votes[camera, frame, *source] = now + self._keep_s
        self._per_variant[source] += 1
        return True

    def take(self, camera: str, frame: FrameId) -> list[EarlyVote]:
        """Remove and return the votes on a frame that is announced now, in the order of their arrival."""
        taken = self._by_frame.pop((camera, frame), None)
        if taken is None:
            return []
        for source in taken:
            del self._votes[camera, frame, *source]
            self._per_variant[source] -= 1
        return list(taken.values())

    def next_expiry(self) -> float | None:
        """Return when `expire` has something to do, on the caller's clock; None without votes."""
        return next(iter(self._votes.values()), None)

    def expire(self, now: float) -> None:
        """Drop the votes whose frames were not announced in time."""
        while (until := self.next_expiry()) is not None and until <= now:
            self._drop(next(iter(self._votes)))

    def forget_family(self, digest: bytes) -> None:
        """Drop the votes of the family with this digest."""
        for key in [key for key in self._votes if key[2] == digest]:
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        camera, frame, *_ = key
        source = key[2:]
        del self._votes[key]
        of_frame = self._by_frame[camera, frame]
        del of_frame[source]
        if not of_frame:
            del self._by_frame[camera, frame]
        self._per_variant[source] -= 1
        self._counts["unannounced"] += 1
