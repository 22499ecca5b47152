"""A command that a signal ends clears away what it has half done."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.provisioned import until
from vp_mqtt.nodes.sources import SAMPLES

ENDED_WITHIN_S = 15


def start_teaching(folder: Path, *wrapper: str) -> subprocess.Popen[str]:
    """Start a command that makes a bundle in a folder, and wait until there is something of it."""
    command = [sys.executable, "-m", "vp_mqtt", "teach", str(SAMPLES / "fashion-mnist")]
    flags = ["--pretrained", "fashion-mnist", "--out", str(folder / "bundle")]
    # Those who start the tests may ignore signals.
    heeding = ["env", "--default-signal=HUP,INT,TERM"]
    teaching = subprocess.Popen([*heeding, *wrapper, *command, *flags], stderr=subprocess.PIPE, text=True)
    until(lambda: list(folder.iterdir()), "a half bundle")
    return teaching


def test_another_signal_meanwhile_does_not_keep_it_from_clearing_away(tmp_path: Path) -> None:
    teaching = start_teaching(tmp_path)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        teaching.send_signal(number)
    teaching.communicate(timeout=ENDED_WITHIN_S)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)]
)
def test_a_bundle_that_is_half_done_leaves_nothing_behind(tmp_path: Path, number: int, code: int) -> None:
    teaching = start_teaching(tmp_path)
    teaching.send_signal(number)
    _, said = teaching.communicate(timeout=ENDED_WITHIN_S)
    assert list(tmp_path.iterdir()) == []
    assert teaching.returncode == code
    assert "Traceback" not in said


def test_a_hang_up_that_is_ignored_ends_nothing(tmp_path: Path) -> None:
    teaching = start_teaching(tmp_path, "nohup")
    teaching.send_signal(signal.SIGHUP)
    teaching.communicate(timeout=60)
    assert teaching.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
