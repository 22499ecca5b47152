"""Response times of boards over some minutes, in equal periods. Pure: the clock is passed in."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

PERIOD_S = 2.0
PERIODS = 150
_MAX_VARIANTS = 64
_MAX_TIMES = 256


@dataclass(slots=True)
class _Series:
    """One variant's response times.

    Attributes:
        done: periods that are over: number and median, in ms.
        period: the number of the present one.
        times: of the present period, in ms.
    """

    done: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=PERIODS))
    period: int = 0
    times: list[float] = field(default_factory=list)

    def close(self) -> None:
        if self.times:
            self.done.append((self.period, statistics.median(self.times)))
            self.times.clear()


class ResponseSeries:
    """The median response time of each variant in periods of 2 s, for the last 5 minutes."""

    def __init__(self) -> None:
        """Start without any."""
        self._series: dict[int, _Series] = {}

    def note(self, variant: int, response_ms: float, now: float) -> None:
        """Note the response time of a vote, in ms."""
        series = self._series.get(variant)
        if series is None:
            if len(self._series) >= _MAX_VARIANTS:
                return
            series = self._series[variant] = _Series()
        period = int(now // PERIOD_S)
        if period != series.period:
            series.close()
            series.period = period
        if len(series.times) < _MAX_TIMES:
            series.times.append(response_ms)

    def newest(self, variant: int) -> float | None:
        """Return the median of a variant's newest period, in ms; None without any."""
        series = self._series.get(variant)
        if series is None:
            return None
        if series.done:
            return series.done[-1][1]
        return statistics.median(series.times) if series.times else None

    def table(self, now: float) -> tuple[list[float], dict[int, list[float | None]]]:
        """Return the ages of the periods, in s, oldest first, and each variant's times in ms, None where none voted."""
        last = int(now // PERIOD_S)
        numbers = range(last - PERIODS, last)
        ages = [now - (number + 1) * PERIOD_S for number in numbers]
        found: dict[int, list[float | None]] = {}
        for variant, series in sorted(self._series.items()):
            medians = dict(series.done)
            if series.times and series.period < last:
                medians[series.period] = statistics.median(series.times)
            row = [medians.get(number) for number in numbers]
            if any(value is not None for value in row):
                found[variant] = row
        return ages, found
