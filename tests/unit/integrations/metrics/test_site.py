"""What a page exports of a site."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from tests.support.labels import label
from vp_mqtt.integrations.metrics import catalog
from vp_mqtt.integrations.metrics.families import Families
from vp_mqtt.integrations.metrics.site import add_comparison, add_site
from vp_mqtt.overview.compared_votes import ComparedVotes
from vp_mqtt.overview.site_overview import Overview
from vp_mqtt.protocol.messages import Quantiles, State, StatsMessage, StatusMessage

NOW, WALL = 100.0, 1_795_440_000.0
LATENCY = Quantiles(p50=1.5, p95=20.0, p99=250.0)


def status(node: str, role: str, **more: object) -> StatusMessage:
    fields = {"state": State.ONLINE, "version": "0.1.0", "host": "pi", "instance": "0000002a", "started": 1.0}
    return StatusMessage.model_validate({**fields, "node": node, "role": role, "client_id": node, **more})


def stats(node: str, counts: Mapping[str, int] | None = None, **more: object) -> StatsMessage:
    return StatsMessage.model_validate({"node": node, "uptime_s": 7.5, "counts": counts or {}, **more})


def site() -> Overview:
    """Return a site with a camera, a board that is online and one that is not, and a fusion node."""
    overview = Overview("home", now=NOW - 10)
    for one in (
        status("camera", "camera", camera="cam0"),
        status("v2", "variant", variant=2, bundle="things", digest="6549ea43", problem="no model"),
        status("v3", "variant", variant=3, state=State.OFFLINE),
        status("fusion", "fusion", deadline_ms=250.0),
        status("lamp", "lamp"),
    ):
        overview.note_status(one, retained=False, now=NOW - 4)
    for newest in (
        stats("camera", {"frames": 80, "dropped_offline": 3, "unsent": 1, "x" * 50: 4}, latency_ms=LATENCY),
        stats("v2", {"votes": 70}, rss_mb=109.5, temperature_c=48.25),
        stats("v3", {"votes": 60}),
        stats("fusion", {"labels": 80, "labels_without_votes": 2}, agreement={"cam0": 0.97}),
    ):
        overview.note_stats(newest, retained=False, now=NOW - 3)
    overview.note_label(label("Coat"), NOW - 2, WALL - 2)
    overview.note_label(label(None), NOW - 1, WALL - 1)
    return overview


def export(overview: Overview) -> str:
    families = Families()
    add_site(families, overview, now=NOW, wall_time=WALL)
    compared = ComparedVotes()
    compared.counts.update({("cam0", 2, True): 9, ("cam0", 2, False): 0})
    add_comparison(families, overview.site, compared)

    class Given(Collector):
        def collect(self) -> object:  # type: ignore[override]
            return families.all()

    registry = CollectorRegistry()
    registry.register(Given())
    return generate_latest(registry).decode()


def value(text: str, name: str, **labels: str) -> float | None:
    """Return the value of the only sample with this name and these labels; None without one."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]
    assert len(found) < 2, found
    return found[0] if found else None


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("vp_camera_frames_total", {"node": "camera", "camera": "cam0"}, 80),
        ("vp_camera_labels_total", {"node": "camera"}, 0),
        ("vp_camera_frames_dropped_total", {"reason": "offline"}, 3),
        ("vp_camera_frames_dropped_total", {"reason": "slow_link"}, 0),
        ("vp_camera_response_seconds", {"quantile": "0.99", "camera": "cam0"}, 0.25),
        ("vp_node_resident_memory_bytes", {"node": "v2", "role": "variant"}, 109_500_000),
        ("vp_node_temperature_celsius", {"node": "v2"}, 48.25),
        ("vp_variant_votes_total", {"node": "v2", "variant": "2"}, 70),
        ("vp_node_problem", {"node": "v2"}, 1),
        ("vp_node_problem", {"node": "fusion"}, 0),
        ("vp_node_info", {"node": "v2", "bundle": "things", "digest": "6549ea43", "version": "0.1.0"}, 1),
        ("vp_fusion_deadline_seconds", {"site": "home"}, 0.25),
        ("vp_fusion_agreement_ratio", {"camera": "cam0"}, 0.97),
        ("vp_fusion_labels_without_votes_total", {}, 2),
        ("vp_node_presence", {"node": "v3", "presence": "offline"}, 1),
        ("vp_node_presence", {"node": "v3", "presence": "online"}, 0),
        ("vp_node_presence", {"node": "lamp", "role": "lamp", "presence": "online"}, 1),
        ("vp_node_last_heard_timestamp_seconds", {"node": "v2"}, WALL - 3),
        ("vp_site_connected", {"site": "home"}, 1),
        ("vp_site_labels_total", {"camera": "cam0", "closed_by": "complete"}, 2),
        ("vp_site_labels_total", {"camera": "cam0", "closed_by": "deadline"}, 0),
        ("vp_site_votes_total", {"variant": "3", "outcome": "voted"}, 1),
        ("vp_site_votes_total", {"variant": "2", "outcome": "away"}, 2),
        ("vp_site_votes_total", {"variant": "2", "outcome": "late"}, 0),
        ("vp_site_votes_compared_total", {"camera": "cam0", "variant": "2", "agrees": "yes"}, 9),
        ("vp_site_votes_compared_total", {"camera": "cam0", "variant": "2", "agrees": "no"}, 0),
        ("vp_site_last_label_timestamp_seconds", {"camera": "cam0"}, WALL - 1),
    ],
)
def test_metrics_are_those_of_stats_and_statuses(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(export(site()), name, **labels) == pytest.approx(expected)


def test_of_a_board_that_is_gone_only_that_is_exported() -> None:
    text = export(site())
    for name in ("vp_variant_votes_total", "vp_node_uptime_seconds", "vp_node_info"):
        assert value(text, name, node="v3") is None


def test_everything_in_the_catalog_is_exported_and_nothing_else() -> None:
    found = {family.name for family in text_string_to_metric_families(export(site()))}
    named = {entry.name.removesuffix("_total") for entry in (*catalog.OF_NODES, *catalog.OF_SITE)}
    # Added by the page, and known only of boards that measure them.
    assert found == named - {*("vp_site_refused", "vp_variant_vote_seconds", "vp_fusion_window_seconds")}


def test_what_others_write_is_escaped() -> None:
    overview = Overview("home", now=NOW)
    overview.note_status(status("evil", "variant", version='1"} 5\nvp_node_problem{x="\\'), retained=False, now=NOW)
    text = export(overview)
    assert value(text, "vp_node_info", node="evil") == 1
    assert value(text, "vp_node_problem", node="evil") == 0


def test_labels_of_any_number_of_cameras_and_variants_are_bounded() -> None:
    overview = Overview("home", now=NOW)
    for number in range(600):
        overview.note_label(label("Coat", camera=f"cam{number}"), NOW, WALL)
    overview.note_label(label("Coat").model_copy(update={"missing": tuple(range(5000))}), NOW, WALL)
    text = export(overview)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert len({one.labels["camera"] for one in samples if one.name == "vp_site_labels_total"}) == 512
    assert len({one.labels["variant"] for one in samples if one.name == "vp_site_votes_total"}) == 256
