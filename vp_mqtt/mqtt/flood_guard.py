"""Guards a node against sources that flood. Pure: the clock is passed in."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

from vp_mqtt.protocol.topics import Kind

K = TypeVar("K", bound=Hashable)

# Any client can name a source.
_MAX_BUCKETS = 8192

Source = tuple[Kind, str]
"""What floods: a kind of message, and the camera, node or variant (its index as text) that sends it."""

STRANGERS = ""
"""In place of a name: all cameras or nodes together that are not known."""


class Verdict(Enum):
    """What to do with a message."""

    ACCEPT = auto()
    BLOCK = auto()
    """Drop it, and block its source: it is the first message over the limit."""
    DROP = auto()
    """Drop it: its source is blocked."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many messages one source may send.

    Attributes:
        burst: messages that are accepted at once, at least 1.
        per_second: further messages per second.
        per_announce: further messages for each announced frame.
    """

    burst: int
    per_second: float
    per_announce: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float
    announced: int


class FloodGuard(Generic[K]):
    """Limits the rate of messages per source, with token buckets that time and announced frames refill.

    A source that sends several times as much as it has reason to is broken or hostile: it is blocked for a while, so
    that its messages do not take the time that those of other sources need.
    """

    def __init__(self, limits: Mapping[K, Limit], *, block_s: float = 10.0, longest_block_s: float = 80.0) -> None:
        """Start with full buckets and no source blocked.

        Args:
            limits: by kind of message, the first part of each source.
            block_s: how long a source is blocked, in s; twice as long each time that it floods again at once.
            longest_block_s: how long it is blocked at most, in s.
        """
        self._limits = limits
        self._block_s = block_s
        self._longest_block_s = longest_block_s
        self._last_blocks: OrderedDict[tuple[K, str], tuple[float, float]] = OrderedDict()
        self._announced = 0
        self._buckets: dict[tuple[K, str], _Bucket] = {}
        self._blocked: dict[tuple[K, str], float] = {}

    def note_announce(self) -> None:
        """Note that a frame was announced."""
        self._announced += 1

    def check(self, source: tuple[K, str], now: float, weight: float = 1.0) -> Verdict:
        """Decide what to do with a message of the source.

        Args:
            source: whose message it is.
            now: on the caller's clock, in s.
            weight: for how many messages it counts, at least 1.
        """
        if source in self._blocked:
            return Verdict.DROP
        limit = self._limits[source[0]]
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= _MAX_BUCKETS:
                self._buckets.pop(next(iter(self._buckets)))
            bucket = self._buckets[source] = _Bucket(limit.burst, now, self._announced)
        elapsed = max(0.0, now - bucket.filled)
        refill = limit.per_second * elapsed + limit.per_announce * (self._announced - bucket.announced)
        bucket.tokens = min(limit.burst, bucket.tokens + refill)
        bucket.filled, bucket.announced = now, self._announced
        if bucket.tokens < 1:
            del self._buckets[source]
            self._blocked[source] = now + self._next_block_s(source, now)
            return Verdict.BLOCK
        bucket.tokens -= weight
        return Verdict.ACCEPT

    def _next_block_s(self, source: tuple[K, str], now: float) -> float:
        ended, lasted = self._last_blocks.pop(source, (-math.inf, 0.0))
        floods_again = now - ended <= lasted
        lasts = min(2 * lasted, self._longest_block_s) if floods_again else self._block_s
        self._last_blocks[source] = now + lasts, lasts
        if len(self._last_blocks) > _MAX_BUCKETS:
            self._last_blocks.popitem(last=False)
        return lasts

    def unblock(self, now: float) -> set[tuple[K, str]]:
        """Unblock the sources that were blocked for long enough, and return them."""
        due = {source for source, until in self._blocked.items() if until <= now}
        for source in due:
            del self._blocked[source]
        return due

    def next_unblock(self) -> float | None:
        """Return when `unblock` has something to do, on the caller's clock; None while no source is blocked."""
        return min(self._blocked.values(), default=None)

    def blocked_until(self, source: tuple[K, str]) -> float:
        """Return until when a source is blocked, on the caller's clock; minus infinity if it is not."""
        return self._blocked.get(source, -math.inf)
