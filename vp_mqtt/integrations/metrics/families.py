"""Families of samples, as prometheus_client exports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from vp_mqtt.integrations.metrics.catalog import Entry, Kind
from vp_mqtt.protocol.messages import Quantiles

_QUANTILES = {"0.5": "p50", "0.95": "p95", "0.99": "p99"}


class Families:
    """Collects samples by metric: all samples of one have to stand together."""

    def __init__(self) -> None:
        """Start without samples."""
        self._families: dict[str, Metric] = {}

    def add(self, entry: Entry, labels: Mapping[str, str], value: float) -> None:
        """Add a sample.

        Args:
            entry: the metric.
            labels: values of its labels by name; further ones are ignored.
            value: in the metric's unit.
        """
        name = entry.name
        self._family(entry).add_sample(name, {label: labels[label] for label in entry.labels}, value)

    def add_quantiles(self, entry: Entry, labels: Mapping[str, str], latency: Quantiles) -> None:
        """Add a summary's quantiles, which are given in ms."""
        family, own = self._family(entry), {label: labels[label] for label in entry.labels}
        for quantile, field in _QUANTILES.items():
            family.add_sample(entry.name, {**own, "quantile": quantile}, getattr(latency, field) / 1000)

    def all(self) -> Iterable[Metric]:
        """Return all families."""
        return self._families.values()

    def _family(self, entry: Entry) -> Metric:
        found = self._families.get(entry.name)
        if found is None:
            found = self._families[entry.name] = _new(entry)
        return found


def _new(entry: Entry) -> Metric:
    match entry.kind:
        case Kind.COUNTER:
            return CounterMetricFamily(entry.name, entry.help)
        case Kind.GAUGE:
            return GaugeMetricFamily(entry.name, entry.help)
        case Kind.SUMMARY:
            return Metric(entry.name, entry.help, "summary")
