from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vp_mqtt import logs
from vp_mqtt.logs import LOGGER, Refusals


def test_each_source_and_reason_is_counted_always_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="vp")
    LOGGER.propagate = True
    refusals = Refusals()
    for source in ("a", "b"):
        for reason in ("too large", "not a picture"):
            for _ in range(5):
                refusals.add(source, reason)
    assert refusals.counts == {"refused": 20, "refused: too large": 10, "refused: not a picture": 10}
    assert len(caplog.messages) == 4


def test_sources_named_by_strangers_fill_neither_memory_nor_log(caplog: pytest.LogCaptureFixture) -> None:
    LOGGER.propagate = True
    refusals = Refusals()
    for number in range(3000):
        refusals.add(f"stranger {number}", "not a picture")
    assert refusals.counts["refused"] == 3000
    assert len(refusals._seen) == len(caplog.messages) == logs._MAX_REMEMBERED


def test_log_json_writes_one_object_a_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "vp_mqtt", "watch", "--broker", "mqtt://127.0.0.1:9", "--give-up-after", "0.1"]
    ended = subprocess.run(
        [*command, "--log-json"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("vp: ")]
    entries = [json.loads(line) for line in lines]
    assert entries
    assert all(entry.keys() >= {"time", "level", "message"} for entry in entries)
    assert any("trying until it is there" in entry["message"] and entry["level"] == "warning" for entry in entries)
