from __future__ import annotations

from pathlib import Path

import pytest

from vp_mqtt.nodes.stats import Latencies, Stats, temperature_c


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


@pytest.mark.parametrize(
    ("readings", "celsius"),
    [
        ([], None),
        (["-274000"], None),
        (["2147483647"], None),
        (["-274000", "45012", "nan", "2147483647", "38000"], 45.0),
        (["-20000"], -20.0),
    ],
)
def test_the_temperature_is_that_of_the_hottest_zone_that_has_one(
    readings: list[str], celsius: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, reading in enumerate(readings):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(f"{reading}\n")
    assert temperature_c(tmp_path) == celsius
    monkeypatch.setattr("vp_mqtt.nodes.stats.temperature_c", lambda: temperature_c(tmp_path))
    assert Stats().message("v0", connections=1, more={}).temperature_c == celsius
