"""`vp bench brokers`: its checks and measurements, of Mosquitto alone. No test here looks at how long anything took."""

from __future__ import annotations

import pytest

from benchmarks.brokers import compare as brokers
from benchmarks.brokers.checks import big, client_limit, garbage, mqtt5, no_local, properties, retained, will
from benchmarks.brokers.client import Broker
from benchmarks.brokers.report import print_report
from vp_mqtt.local.broker import LocalBroker


@pytest.fixture
def mosquitto() -> Broker:
    version = LocalBroker.find("mosquitto").info.version
    return Broker("mosquitto", version, brokers._mosquitto(nodelay=True))


@pytest.mark.parametrize("check", [mqtt5, properties, retained, will, big, client_limit, no_local, garbage])
def test_mosquitto_does_what_this_project_needs(mosquitto: Broker, check: brokers.Check) -> None:
    finding = brokers.examine(mosquitto, check)
    assert finding["ok"], finding["detail"]


def test_what_fails_is_reported_as_a_finding(mosquitto: Broker) -> None:
    def fail(_: object) -> tuple[bool, str]:
        raise RuntimeError("no luck")

    assert brokers.examine(mosquitto, fail) == {"ok": False, "detail": "failed: RuntimeError('no luck')"}


def test_latency_is_measured_on_all_brokers_in_turns(
    mosquitto: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(brokers, "all_brokers", lambda: [mosquitto])
    lines: list[str] = []
    report = brokers.compare(["latency"], 20, 1, lines.append)
    assert list(report["checks"]) == ["mqtt5"]
    assert [line.split(":")[0] for line in lines] == ["mqtt5 mosquitto"]
    rows = [(row["broker"], row["qos"], row["client"]) for row in report["latency"]]
    names = ("mosquitto", "mosquitto, set_tcp_nodelay false")
    clients = ("plain", "nodelay", "nodelay, quickack")
    assert rows == [(name, qos, client) for name in names for qos in (0, 1) for client in clients]
    assert all(row["lost"] == 0 and 0 < row["p50_ms"] <= row["p99_ms"] for row in report["latency"])
    print_report(report)
    assert "mosquitto" in capsys.readouterr().out
