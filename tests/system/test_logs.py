"""Logging as a process does it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest


def test_log_json_writes_one_object_per_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "vp_mqtt", "watch", "--broker", "mqtt://127.0.0.1:9", "--give-up-after", "0.1"]
    ended = subprocess.run(
        [*command, "--log-json"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("vp: ")]
    entries = [json.loads(line) for line in lines]
    assert entries
    assert all(entry.keys() >= {"time", "level", "message"} for entry in entries)
    assert any("trying until it is there" in entry["message"] and entry["level"] == "warning" for entry in entries)


@pytest.mark.parametrize("command", [["camera"], ["node", "--variant", "0"], ["fusion"], ["nonsense"]])
@pytest.mark.parametrize("stderr", ["full", "closed"])
def test_an_error_that_cannot_be_written_keeps_its_exit_code(command: list[str], stderr: str) -> None:
    redirection = {"full": "2>/dev/full", "closed": "2>&-"}[stderr]
    vp = [sys.executable, "-m", "vp_mqtt", *command, "--broker", "mqtt://127.0.0.1:9", "--give-up-after", "0.1"]
    ended = subprocess.run(["/bin/sh", "-c", f"exec {shlex.join(vp)} {redirection}"], check=False, timeout=60)
    assert ended.returncode == 2


def test_a_fault_of_a_command_without_a_log_hides_passwords() -> None:
    fault = "import typer\ndef fail(): raise ValueError('rtsp://admin:Gehe' + 'im@cam/x')\napp = typer.Typer()\n"
    code = f"{fault}app.command()(fail)\nfrom vp_mqtt.cli.lazy import run_app\nrun_app(app, 'vp')"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 1
    assert "ValueError: rtsp://***@cam/***" in ended.stderr
    assert "Geheim" not in ended.stderr
