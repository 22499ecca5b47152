"""Timing calls in turns, and quantiles of times."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_BURST = 5


@dataclass(frozen=True)
class CallTimes:
    """How long a call takes.

    Attributes:
        ms: median of the calls that directly follow another one of the same kind, in ms.
        cold_ms: median of the calls that follow other calls, which have evicted its data from the processor's caches,
            in ms.
    """

    ms: float
    cold_ms: float


def time_in_turns(
    calls: Sequence[Callable[[], object]], runs: int, clock: Callable[[], float] = time.perf_counter
) -> list[CallTimes]:
    """Time each call; the calls take turns, so that what disturbs one disturbs all.

    In every turn each call is made several times in a row: the first of these is the cold one.

    Args:
        calls: to time.
        runs: warm runs of each, at least 1; rounded up to whole turns, after one warm-up turn that is not counted.
        clock: returns seconds.
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
    return [
        CallTimes(statistics.median(rest), statistics.median(first)) for first, rest in zip(cold, warm, strict=True)
    ]


def quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 of at least one time, in ms."""
    p50, p95, p99 = np.quantile(milliseconds, [0.5, 0.95, 0.99])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "p99": round(float(p99), 3)}
