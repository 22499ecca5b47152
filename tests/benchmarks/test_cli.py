"""`vp bench` and `vp baseline` in a checkout: which `benchmarks` they run, and the help texts of their commands."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.child_process import module_command
from benchmarks.cli import BASELINE_COMMANDS, COMMANDS
from vp_mqtt.cli.bench import BOARD_COMMANDS, load_benchmarks
from vp_mqtt.cli.lazy import LazyCommand

ROOT = Path(__file__).parents[2]
ALL = {**COMMANDS, **BOARD_COMMANDS, **BASELINE_COMMANDS}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a folder with another package of this name, as some distributions install one."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    return tmp_path


def run(elsewhere: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{elsewhere}{os.pathsep}{ROOT}", "COLUMNS": "200"}
    return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)


def test_the_measurements_are_those_beside_the_package(elsewhere: Path) -> None:
    done = run(elsewhere, sys.executable, "-m", "vp_mqtt", "bench", "--help")
    assert done.returncode == 0, done.stderr
    assert all(f"│ {name} " in done.stdout for name in {**COMMANDS, **BOARD_COMMANDS})
    stage = run(elsewhere, sys.executable, "-m", "vp_mqtt", "baseline", "stage", "--stage", "0", "--bundle", "nowhere")
    assert stage.returncode == 2
    assert "no bundle at 'nowhere'" in stage.stderr


def test_child_processes_find_the_measurements_from_anywhere(elsewhere: Path) -> None:
    done = run(elsewhere, *module_command("benchmarks.tables", "--check"))
    assert (done.returncode, done.stdout) == (0, "all tables are up to date\n"), done.stderr


def test_outside_a_checkout_there_is_none(elsewhere: Path) -> None:
    assert load_benchmarks(elsewhere) is None
    assert load_benchmarks(ROOT) == (COMMANDS, BASELINE_COMMANDS)


def test_a_near_miss_is_reported() -> None:
    command = [sys.executable, "-m", "vp_mqtt", "bench", "lateny"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such command 'lateny'. Did you mean 'latency'" in done.stderr


@pytest.mark.parametrize("lazy", ALL.values(), ids=ALL)
def test_the_table_says_of_a_command_what_the_command_says_of_itself(lazy: LazyCommand) -> None:
    own = inspect.getdoc(lazy.load())
    assert own is not None
    assert own.split("\n\n")[0] == lazy.help
