"""The metrics of a whole site, from what a page sees of it."""

from __future__ import annotations

from vp_mqtt.integrations.metrics import catalog
from vp_mqtt.integrations.metrics.families import Families
from vp_mqtt.integrations.metrics.nodes import add_stats, add_status, labels_of
from vp_mqtt.overview.compared_votes import ComparedVotes
from vp_mqtt.overview.site_overview import Overview
from vp_mqtt.protocol.presence import Presence


def add_site(families: Families, overview: Overview, *, now: float, wall_time: float) -> None:
    """Add what is seen of a site.

    Of a node that is not online, only its presence is exported: its last stats say nothing about now.

    Args:
        families: collects the samples.
        overview: of the site.
        now: on the monotonic clock, in seconds.
        wall_time: the same moment, in seconds since 1970.
    """
    site = {"site": overview.site}
    families.add(catalog.CONNECTED, site, overview.is_connected)
    families.add(catalog.PROBLEMS, site, len(overview.problems(now)))
    for node in overview.nodes(None, now):
        labels = labels_of(overview.site, node.status)
        for presence in Presence:
            families.add(catalog.PRESENCE, {**labels, "presence": str(presence)}, node.presence is presence)
        if node.heard_at is not None:
            families.add(catalog.HEARD, labels, wall_time - (now - node.heard_at))
        if node.is_online:
            add_status(families, overview.site, node.status)
            if node.activity is not None:
                add_stats(families, overview.site, node.status, node.activity.stats)
    _add_labels(families, overview)


def add_comparison(families: Families, site: str, compared: ComparedVotes) -> None:
    """Add how many votes are for the labels of their frames."""
    for (camera, variant, agrees), count in compared.counts.items():
        labels = {"site": site, "camera": camera, "variant": str(variant), "agrees": "yes" if agrees else "no"}
        families.add(catalog.COMPARED, labels, count)


def _add_labels(families: Families, overview: Overview) -> None:
    totals, site = overview.totals, overview.site
    for (camera, closed_by), count in sorted(totals.labels.items()):
        families.add(catalog.LABELS, {"site": site, "camera": camera, "closed_by": str(closed_by)}, count)
    for camera, at in sorted(totals.last_label.items()):
        families.add(catalog.LAST_LABEL, {"site": site, "camera": camera}, at)
    for (variant, outcome), count in totals.outcomes.items():
        families.add(catalog.VOTES, {"site": site, "variant": str(variant), "outcome": outcome.name.lower()}, count)
