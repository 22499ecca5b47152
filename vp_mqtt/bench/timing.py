"""Times of calls, taken in turns, and their quantiles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

_WARM_UP = 5


def medians_in_turns(
    calls: Sequence[Callable[[], object]], runs: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the median time of each call, in ms; they take turns, so that what disturbs one disturbs all.

    Args:
        calls: to measure.
        runs: of each, at least 1, after a few that are not counted.
        clock: gives seconds.
    """
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(_WARM_UP + runs):
        for call, measured in zip(calls, times, strict=True):
            start = clock()
            call()
            if turn >= _WARM_UP:
                measured.append((clock() - start) * 1000)
    return [statistics.median(measured) for measured in times]


def quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 of at least one time, in ms."""
    p50, p95, p99 = np.quantile(milliseconds, [0.5, 0.95, 0.99])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "p99": round(float(p99), 3)}
