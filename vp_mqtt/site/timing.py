"""Times of calls, taken in turns, and their quantiles."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_BURST = 5


@dataclass(frozen=True)
class Times:
    """How long a call takes.

    Attributes:
        ms: median of calls that follow one of their own kind, in ms.
        cold_ms: median of calls that follow others, which have the processor's caches for themselves by then, in ms.
    """

    ms: float
    cold_ms: float


def times_in_turns(
    calls: Sequence[Callable[[], object]], runs: int, clock: Callable[[], float] = time.perf_counter
) -> list[Times]:
    """Return the times of each call; they take turns, so that what disturbs one disturbs all.

    In a turn each is called several times in a row: the first of these is the cold one.

    Args:
        calls: to measure.
        runs: of each that are not cold, at least 1; rounded up to whole turns, and after one that is not counted.
        clock: gives seconds.
    """
    cold: list[list[float]] = [[] for _ in calls]
    warm: list[list[float]] = [[] for _ in calls]
    for turn in range(1 + math.ceil(runs / (_BURST - 1))):
        for call, first, rest in zip(calls, cold, warm, strict=True):
            for number in range(_BURST):
                start = clock()
                call()
                if turn > 0:
                    (rest if number else first).append((clock() - start) * 1000)
    return [Times(statistics.median(rest), statistics.median(first)) for first, rest in zip(cold, warm, strict=True)]


def quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 of at least one time, in ms."""
    p50, p95, p99 = np.quantile(milliseconds, [0.5, 0.95, 0.99])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "p99": round(float(p99), 3)}
