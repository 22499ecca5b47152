"""The metrics of nodes, from their statuses and stats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vp_mqtt.integrations.metrics import catalog
from vp_mqtt.integrations.metrics.catalog import Entry
from vp_mqtt.integrations.metrics.families import Families
from vp_mqtt.protocol.messages import StatsMessage, StatusMessage

_BYTES_PER_MB = 1e6
_COUNTERS: Mapping[str, Sequence[Entry]] = {
    "camera": catalog.CAMERA_NODE,
    "variant": catalog.VARIANT_NODE,
    "fusion": catalog.FUSION_NODE,
}
_LATENCIES = {"camera": catalog.RESPONSE, "variant": catalog.VOTE, "fusion": catalog.WINDOW}


def labels_of(site: str, status: StatusMessage) -> dict[str, str]:
    """Return the values of all labels that say which node a sample is of; empty ones count as left out."""
    return {
        "site": site,
        "node": status.node,
        "role": status.role,
        "variant": "" if status.variant is None else str(status.variant),
        "camera": status.camera or "",
        "bundle": status.bundle or "",
        "digest": status.digest or "",
        "version": status.version,
    }


def add_status(families: Families, site: str, status: StatusMessage) -> None:
    """Add what the status of a node that is online says."""
    labels = labels_of(site, status)
    families.add(catalog.INFO, labels, 1)
    families.add(catalog.PROBLEM, labels, status.problem is not None)
    if status.role == "fusion" and status.deadline_ms is not None:
        families.add(catalog.DEADLINE, labels, status.deadline_ms / 1000)


def add_stats(families: Families, site: str, status: StatusMessage, stats: StatsMessage) -> None:
    """Add what the stats of a node say; counters that no metric is for are left out: a node may name any number."""
    labels = labels_of(site, status)
    families.add(catalog.UPTIME, labels, stats.uptime_s)
    if stats.rss_mb is not None:
        families.add(catalog.MEMORY, labels, stats.rss_mb * _BYTES_PER_MB)
    if stats.temperature_c is not None:
        families.add(catalog.TEMPERATURE, labels, stats.temperature_c)
    latency = _LATENCIES.get(status.role)
    if latency is not None and stats.latency_ms is not None:
        families.add_quantiles(latency, labels, stats.latency_ms)
    _add_counts(families, (*catalog.ANY_NODE, *_COUNTERS.get(status.role, ())), labels, stats.counts)
    if status.role == "fusion":
        for camera, share in sorted((stats.agreement or {}).items()):
            families.add(catalog.AGREEMENT, {**labels, "camera": camera}, share)


def _add_counts(
    families: Families, entries: Iterable[Entry], labels: Mapping[str, str], counts: Mapping[str, int]
) -> None:
    for entry in entries:
        for name, own in entry.counts.items():
            # Without 0 at the start, the first increase would not be seen.
            families.add(entry, {**labels, **own}, counts.get(name, 0))
