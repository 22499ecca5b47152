"""What a bad link does to packets. Pure: the clock and the random numbers are passed in."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass

_QUEUE_S = 1.0


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a link does to the packets of each direction.

    Attributes:
        loss: share of packets that are dropped, 0..1; 1 cuts the link silently.
        delay: delay of each packet, in s.
        jitter: the delay is drawn uniformly from `delay` +- this, in s, so that packets overtake each other.
        in_order: whether packets wait for earlier ones instead of overtaking them, as on Wi-Fi.
        rate: in bytes/s, None for no limit; packets that would have to wait longer than 1 s are dropped.
        duplicate: share of packets that arrive twice, 0..1.
    """

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    duplicate: float = 0.0
    in_order: bool = False


class Direction:
    """One direction of a link: delivers packets when they are due."""

    def __init__(self, rng: random.Random) -> None:
        """Start without impairment."""
        self.impairment = Impairment()
        self._rng = rng
        self._waiting: list[tuple[float, int, bytes]] = []
        self._number = itertools.count()
        self._free_at = 0.0
        self._last_due = 0.0

    def put(self, packet: bytes, now: float) -> None:
        """Accept a packet at time `now`, in s."""
        how = self.impairment
        if self._rng.random() < how.loss:
            return
        due = now
        if how.rate is not None:
            due = max(now, self._free_at)
            if due - now > _QUEUE_S:
                return
            self._free_at = due = due + len(packet) / how.rate
        copies = 1 + (self._rng.random() < how.duplicate)
        for _ in range(copies):
            arrival = due + max(0.0, how.delay + self._rng.uniform(-how.jitter, how.jitter))
            if how.in_order:
                arrival = max(arrival, self._last_due)
            self._last_due = arrival
            heapq.heappush(self._waiting, (arrival, next(self._number), packet))

    def take(self, now: float) -> list[bytes]:
        """Return the packets that are due, oldest first."""
        due: list[bytes] = []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(heapq.heappop(self._waiting)[2])
        return due

    def next_due(self) -> float | None:
        """Return when the next packet is due, None without any."""
        return self._waiting[0][0] if self._waiting else None
