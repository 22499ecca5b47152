"""Guards the fusion node against a variant that floods. Pure: the clock is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Verdict(Enum):
    """What to do with a vote."""

    ACCEPT = auto()
    BLOCK = auto()
    """Drop it, and block its variant: it is the first vote over the limit."""
    DROP = auto()
    """Drop it: its variant is blocked."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float
    announced: int
    blocked_until: float | None = None


class FloodGuard:
    """Limits the rate of votes per variant, with token buckets that time and announced frames refill.

    A variant votes once per frame. One that sends several times as many votes as there are frames is broken or hostile:
    it is blocked for a while, so that its votes do not take the time that the other variants' votes need.
    """

    def __init__(
        self, *, burst: int = 500, per_announce: float = 4.0, per_second: float = 50.0, block_s: float = 10.0
    ) -> None:
        """Start with full buckets and no variant blocked.

        Args:
            burst: votes of one variant that are accepted at once, at least 1.
            per_announce: votes that each announced frame allows each variant.
            per_second: votes per second that each variant may send without any announced frame.
            block_s: how long a variant stays blocked, in s.
        """
        self._burst = burst
        self._per_announce = per_announce
        self._per_second = per_second
        self._block_s = block_s
        self._announced = 0
        self._buckets: dict[int, _Bucket] = {}

    def note_announce(self) -> None:
        """Note that a frame was announced."""
        self._announced += 1

    def check(self, variant: int, now: float) -> Verdict:
        """Decide what to do with a vote of the variant."""
        bucket = self._buckets.get(variant)
        if bucket is None:
            bucket = self._buckets[variant] = _Bucket(self._burst, now, self._announced)
        if bucket.blocked_until is not None:
            return Verdict.DROP
        elapsed = max(0.0, now - bucket.filled)
        refill = self._per_second * elapsed + self._per_announce * (self._announced - bucket.announced)
        bucket.tokens = min(self._burst, bucket.tokens + refill)
        bucket.filled, bucket.announced = now, self._announced
        if bucket.tokens < 1:
            bucket.blocked_until = now + self._block_s
            return Verdict.BLOCK
        bucket.tokens -= 1
        return Verdict.ACCEPT

    def unblock(self, now: float) -> set[int]:
        """Unblock the variants that were blocked for long enough, and return them."""
        due = set()
        for variant, bucket in self._buckets.items():
            if bucket.blocked_until is not None and bucket.blocked_until <= now:
                due.add(variant)
        for variant in due:
            del self._buckets[variant]
        return due

    def next_unblock(self) -> float | None:
        """Return when `unblock` has something to do, on the caller's clock; None while no variant is blocked."""
        blocked = (bucket.blocked_until for bucket in self._buckets.values())
        return min((until for until in blocked if until is not None), default=None)
