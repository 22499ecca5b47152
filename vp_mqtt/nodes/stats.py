"""What a node reports about itself every few seconds: counters, latencies, memory and temperature."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil

from vp_mqtt.fusion.agreement import Agreement
from vp_mqtt.logs import Refusals
from vp_mqtt.protocol.messages import MAX_CELSIUS, MIN_CELSIUS, Quantiles, StatsMessage

_REMEMBERED = 1000
_ROUNDED_S = 1e-6
_ZONES = Path("/sys/class/thermal")


class Latencies:
    """Recent latencies (a sliding window), in ms; may be used from any thread."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        """Start without latencies; at most the newest `remembered` ones are kept."""
        self._values: deque[float] = deque(maxlen=remembered)

    def add(self, milliseconds: float) -> None:
        """Add a latency."""
        self._values.append(milliseconds)

    def quantiles(self) -> Quantiles | None:
        """Return the quantiles of the recent latencies; None without any."""
        values = list(self._values)
        if not values:
            return None
        p50, p95, p99 = np.percentile(values, [50, 95, 99])
        return Quantiles(p50=round(p50, 3), p95=round(p95, 3), p99=round(p99, 3))


class Stats:
    """A node's counters and latencies since it started.

    Attributes:
        counts: counters, by name.
        latencies: of the node's work, in ms.
        refusals: what the node refused.
        agreement: of the votes with the labels, at a fusion node.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.counts: Counter[str] = Counter()
        self.latencies = Latencies()
        self.refusals = Refusals()
        self.agreement = Agreement()
        self._started = time.monotonic()

    def sent_at(self, message: StatsMessage) -> float:
        """Return when a stats message of this node was made, or a little earlier, on the monotonic clock, in s."""
        return self._started + message.uptime_s - _ROUNDED_S

    def message(self, node: str, *, connections: int, more: Mapping[str, int]) -> StatsMessage:
        """Return the stats message.

        Args:
            node: the node's name.
            connections: how often the node has connected to the broker.
            more: further counters.
        """
        return StatsMessage(
            node=node,
            uptime_s=round(time.monotonic() - self._started, 6),
            counts={"connections": connections, **self.counts, **more, **self.refusals.counts},
            latency_ms=self.latencies.quantiles(),
            rss_mb=round(psutil.Process().memory_info().rss / 1e6, 1),
            temperature_c=temperature_c(),
            agreement=self.agreement.shares(time.monotonic()) or None,
        )


def temperature_c(zones: Path = _ZONES) -> float | None:
    """Return the temperature of the board's hottest thermal zone, in degrees Celsius; None if it reports none.

    `psutil.sensors_temperatures` prefers other sensors: on a PC it would report the hottest disk or network card.

    Args:
        zones: the folder with the kernel's thermal zones.
    """
    found = []
    for zone in zones.glob("thermal_zone*/temp"):
        try:
            celsius = int(zone.read_text(encoding="ascii")) / 1000
        except (OSError, ValueError):
            continue
        # A sensor without a reading has -274 or the largest number that fits.
        if MIN_CELSIUS <= celsius <= MAX_CELSIUS:
            found.append(celsius)
    return round(max(found), 1) if found else None
