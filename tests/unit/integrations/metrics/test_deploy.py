"""Rules, dashboards and documents name metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import metrics
from vp_mqtt.integrations.metrics import catalog

ROOT = Path(__file__).parents[4]
PROMETHEUS, GRAFANA = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana"
ENTRIES = {entry.name: entry for entry in (*catalog.OF_NODES, *catalog.OF_SITE)}
DASHBOARD = GRAFANA / "dashboards" / "vp-mqtt.json"


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(PROMETHEUS / "vp-mqtt.rules.yml")["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [one["definition"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    return [*(rule["expr"] for rule in rules()), *shown, *variables]


@pytest.mark.parametrize("expression", expressions())
def test_rules_and_dashboard_use_metrics_with_labels_that_exist(expression: str) -> None:
    selectors = re.findall(r"\b(vp_\w+)(?:\{([^}]*)\})?", expression)
    assert selectors or expression.startswith("up{")
    for name, matchers in selectors:
        assert name in ENTRIES, name
        labels = re.findall(r"(\w+)\s*[=!]", matchers)
        assert set(labels) <= {*ENTRIES[name].labels, "quantile"}, name
        if "quantile" in labels:
            assert ENTRIES[name].kind == "summary"
    for grouping in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert set(grouping.split(", ")) <= {label for entry in ENTRIES.values() for label in entry.labels}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_is_tested_where_it_fires_and_where_it_does_not(rule: dict[str, Any]) -> None:
    tests = [test for path in PROMETHEUS.glob("*.test.yml") for test in read_yaml(path)["tests"]]
    cases = [case for test in tests for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
    assert {bool(case.get("exp_alerts")) for case in cases} == {True, False}
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in {"warning", "critical"}


def test_the_tables_are_those_of_the_code_and_the_rules() -> None:
    text = (ROOT / metrics.DOCUMENT).read_text(encoding="utf-8")
    assert text == metrics.filled(text, ROOT), "run scripts/write-metrics"
    assert all(f"| `{name}` |" in text for name in ENTRIES)
    assert all(f"| `{rule['alert']}` |" in text for rule in rules())


def test_what_is_provisioned_is_there() -> None:
    (source,) = read_yaml(GRAFANA / "provisioning" / "datasources" / "vp-mqtt.yml")["datasources"]
    assert source["type"] == "prometheus"
    (provider,) = read_yaml(GRAFANA / "provisioning" / "dashboards" / "vp-mqtt.yml")["providers"]
    assert provider["options"]["path"] in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert read_yaml(PROMETHEUS / "prometheus.yml")["rule_files"] == ["vp-mqtt.rules.yml"]


def test_panels_do_not_overlap_and_are_told_apart() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
