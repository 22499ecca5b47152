"""`vp bench speed` and `vp bench plan`, as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from vp_mqtt.bundle.manifest import FamilySpec


def vp(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "vp_mqtt", "bench", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


def test_speed_is_measured_and_planned_with(bundle: Path, tmp_path: Path) -> None:
    done = vp("speed", "--bundle", str(bundle), "--runs", "4", "--size", "64x48", "--name", "here", "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["board"] == "here"
    assert report["family"].startswith("tiny ")
    assert [one["index"] for one in report["variants"]] == list(range(6))
    for one in report["variants"]:
        assert one["ms"] == min(one["by_runtime"].values()) == one["by_runtime"][one["runtime"]]
        assert one["total_ms"] == pytest.approx(one["ms"] + one["prepare_ms"], abs=0.002)
    file = tmp_path / "here.json"
    file.write_text(done.stdout)
    planned = vp("plan", *[str(file)] * 6, "--json")
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert sorted(place["variant"] for place in plan["places"]) == list(range(6))
    assert plan["slowest_ms"] == plan["plain_slowest_ms"]
    table = vp("plan", str(file), "--variants", "5")
    assert "slowest board" in table.stdout


def test_the_family_is_written_for_training(tmp_path: Path) -> None:
    former, out = tmp_path / "former.toml", tmp_path / "new.toml"
    former.write_text('name = "two"\nvariants = [{resolution = 64, head = 16}, {resolution = 128, head = 32}]\n')
    arguments = ("--equal-cost", str(former), "--widths", "0.35,0.5", "--macs", "12", "--out", str(out), "--json")
    done = vp("plan", *arguments)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["out"] == str(out)
    family = FamilySpec.model_validate(tomllib.loads(out.read_text()))
    assert family.name == "two-equal-cost"
    written = [(spec.resolution, spec.alpha, spec.head) for spec in family.variants]
    assert written == [(one["resolution"], one["alpha"], one["head"]) for one in report["after"]["variants"]]
    assert all(one["macs"] == pytest.approx(12e6, rel=0.35) for one in report["after"]["variants"])


@pytest.mark.parametrize(
    ("arguments", "report"),
    [
        (["plan"], "name either boards' files"),
        (["plan", "a.json", "--equal-cost", "paper"], "name either boards' files"),
        (["plan", "nowhere.json"], "nowhere.json: No such file"),
        (["plan", "nowhere.json", "--macs", "3"], "--macs"),
        (["plan", "nowhere.json", "--variants", "x"], "--variants x"),
        (["plan", "--equal-cost", "none"], "--family none"),
        (["plan", "--equal-cost", "paper", "--widths", "0.5,9"], "--widths 0.5,9"),
        (["speed", "--bundle", "none"], "no bundle at 'none'"),
        (["speed", "--size", "9"], "--size 9"),
    ],
)
def test_errors_are_reported_in_one_line(arguments: list[str], report: str) -> None:
    refused = vp(*arguments)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert report in refused.stderr
