"""Metrics of real nodes and of the page of a real site; rules and formats by Prometheus' own tool."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.site import Site
from tests.unit.integrations.metrics.test_site import export, value
from tests.unit.integrations.metrics.test_site import site as site_seen
from vp_mqtt.local.ports import free_port

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"


def promtool(*arguments: str, given: str = "") -> str:
    """Run promtool, and return what it complains of."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("NOT SHOWN: no promtool here: apt-get install prometheus")
    done = subprocess.run(
        [program, *arguments], check=False, cwd=PROMETHEUS, input=given, capture_output=True, text=True
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def await_value(port: int, name: str, least: float = 1, **labels: str) -> None:
    """Wait until a sample is there and so large."""
    until = time.monotonic() + 20
    while (value(text := read(port), name, **labels) or 0) < least:
        assert time.monotonic() < until, f"no {name} of {labels}:\n{text}"
        time.sleep(0.1)


def test_nodes_and_the_page_export_what_happens(site: Site, picture_folder: Path, tmp_path: Path) -> None:
    page, fusion, board = free_port(), free_port(), free_port()
    own = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    site.start("page", "web", "--listen", f"127.0.0.1:{page}", "--history", str(tmp_path), environment=own)
    site.start_fusion("--metrics", str(fusion))
    site.start_variant(0, "--metrics", f"127.0.0.1:{board}")
    site.start_variant(1)
    site.start("camera", "camera", "--source", str(picture_folder), "--fps", "10")
    site.await_online("fusion", "v0", "v1", "camera")
    site.await_log("page", "the page of site")
    await_value(page, "vp_fusion_labels_total", 3, site="test", node="fusion")
    await_value(page, "vp_fusion_agreement_ratio", 0.01, camera="cam0")
    await_value(page, "vp_site_votes_total", variant="0", outcome="voted")
    await_value(page, "vp_site_votes_compared_total", camera="cam0", variant="0", agrees="yes")
    await_value(page, "vp_camera_response_seconds", 1e-6, camera="cam0", quantile="0.99")
    await_value(board, "vp_variant_votes_total", 3, node="v0", variant="0")
    await_value(fusion, "vp_fusion_deadline_seconds", 0.25, node="fusion")
    site.kill("v1")
    await_value(page, "vp_node_presence", node="v1", presence="offline")
    assert value(read(page), "vp_variant_votes_total", node="v1") is None

    site.start("twin", "camera", "--source", str(picture_folder), "--metrics", str(board))
    assert site.wait("twin", 20) == 2
    assert f"--metrics 127.0.0.1:{board}: Address already in use; choose another port" in site.log("twin")
    assert "Traceback" not in site.log("twin")


def test_names_and_format_are_what_promtool_expects() -> None:
    assert promtool("check", "metrics", given=export(site_seen())) == ""


def test_rules_do_what_they_are_to_do() -> None:
    tests = sorted(path.name for path in PROMETHEUS.glob("*.test.yml"))
    assert len(tests) == 2
    for arguments in (("check", "config", "prometheus.yml"), ("check", "rules", "vp-mqtt.rules.yml")):
        assert promtool(*arguments) == ""
    assert promtool("test", "rules", *tests) == ""
