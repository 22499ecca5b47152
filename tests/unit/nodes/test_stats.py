from __future__ import annotations

from vp_mqtt.nodes.stats import Latencies, Stats


def test_quantiles_are_those_of_recent_latencies() -> None:
    latencies = Latencies(remembered=100)
    assert latencies.quantiles() is None
    for value in [*[1000.0] * 50, *range(101, 201)]:
        latencies.add(value)
    quantiles = latencies.quantiles()
    assert quantiles is not None
    assert (quantiles.p50, quantiles.p95, quantiles.p99) == (150.5, 195.05, 199.01)


def test_stats_hold_all_counters() -> None:
    stats = Stats()
    stats.counts["frames"] += 3
    stats.latencies.add(2.0)
    stats.refusals.add("cam0", "not a picture")
    message = stats.message("v0", connections=2, more={"frames_dropped": 1})
    assert message.node == "v0"
    assert message.counts == {
        "connections": 2,
        "frames": 3,
        "frames_dropped": 1,
        "refused": 1,
        "refused: not a picture": 1,
    }
    assert message.latency_ms is not None
    assert message.rss_mb is not None
    assert 1 < message.rss_mb < 100_000
    assert 0 <= message.uptime_s < 60
