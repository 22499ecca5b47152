"""Gates that shut out a variant that floods. Pure: the clock is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Passage(Enum):
    """What a gate does with a vote."""

    PASSES = auto()
    SHUTS = auto()
    """It is the one too many: it does not pass, nor does any after it for a while."""
    IS_SHUT = auto()


@dataclass(slots=True)
class _Gate:
    tokens: float
    filled: float
    announced: int
    shut_until: float | None = None


class Gates:
    """One gate for the votes of each variant: a token bucket that announced frames fill.

    A variant has one vote on a frame. One that sends several times as many as there are frames is broken or hostile:
    its gate shuts for a while, so that the time its votes would take is there for the others'.
    """

    def __init__(
        self, *, burst: int = 500, per_announce: float = 4.0, per_second: float = 50.0, shut_s: float = 10.0
    ) -> None:
        """Start with every gate open.

        Args:
            burst: votes of a variant that are let through at once, at least 1.
            per_announce: votes that an announced frame allows each variant.
            per_second: votes that each variant may send without any frame announced.
            shut_s: how long a gate stays shut, in s.
        """
        self._burst = burst
        self._per_announce = per_announce
        self._per_second = per_second
        self._shut_s = shut_s
        self._announced = 0
        self._gates: dict[int, _Gate] = {}

    def announced(self) -> None:
        """Note that a frame was announced."""
        self._announced += 1

    def take(self, variant: int, now: float) -> Passage:
        """Say what becomes of a vote of the variant."""
        gate = self._gates.get(variant)
        if gate is None:
            gate = self._gates[variant] = _Gate(self._burst, now, self._announced)
        if gate.shut_until is not None:
            return Passage.IS_SHUT
        more = self._per_second * max(0.0, now - gate.filled) + self._per_announce * (self._announced - gate.announced)
        gate.tokens = min(self._burst, gate.tokens + more)
        gate.filled, gate.announced = now, self._announced
        if gate.tokens < 1:
            gate.shut_until = now + self._shut_s
            return Passage.SHUTS
        gate.tokens -= 1
        return Passage.PASSES

    def reopen(self, now: float) -> set[int]:
        """Open the gates that were shut for long enough, and return their variants."""
        due = {v for v, gate in self._gates.items() if gate.shut_until is not None and gate.shut_until <= now}
        for variant in due:
            del self._gates[variant]
        return due
