"""What a bad link does to packets. Pure: the clock and the dice are passed in."""

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
        loss: share of packets that are dropped, 0..1; 1 cuts the link without a word.
        delay: that each packet takes, in s.
        jitter: the delay is drawn evenly from `delay` +- this, in s; so packets overtake each other.
        in_order: whether packets wait for those before them rather than overtake them, as on Wi-Fi.
        rate: in bytes/s, None for no limit; what would wait longer than 1 s for its turn is dropped.
        duplicate: share of packets that arrive twice, 0..1.
    """

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    duplicate: float = 0.0
    in_order: bool = False


class Direction:
    """One direction of a link: packets in, packets out when they are due."""

    def __init__(self, dice: random.Random) -> None:
        """Start without impairment."""
        self.impairment = Impairment()
        self._dice = dice
        self._waiting: list[tuple[float, int, bytes]] = []
        self._number = itertools.count()
        self._free_at = 0.0
        self._last_due = 0.0

    def put(self, packet: bytes, now: float) -> None:
        """Take a packet at a time, in s."""
        how = self.impairment
        if self._dice.random() < how.loss:
            return
        due = now
        if how.rate is not None:
            due = max(now, self._free_at)
            if due - now > _QUEUE_S:
                return
            self._free_at = due = due + len(packet) / how.rate
        copies = 1 + (self._dice.random() < how.duplicate)
        for _ in range(copies):
            arrival = due + max(0.0, how.delay + self._dice.uniform(-how.jitter, how.jitter))
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
