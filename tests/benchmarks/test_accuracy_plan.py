"""`python -m benchmarks accuracy`: a plan is trained, evaluated and tabulated; what is done is not done again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.training_data import FAMILY, write_class_folders


def accuracy(plan: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a plan."""
    command = [sys.executable, "-m", "benchmarks", "accuracy", str(plan), "--out", str(plan.parent / "out"), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.timeout(600)
def test_a_plan_is_trained_and_evaluated_and_done_once(tmp_path: Path) -> None:
    pictures = write_class_folders(tmp_path / "things")
    (tmp_path / "tiny.toml").write_text(FAMILY)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'data = "{pictures}"\n'
        '[trainings.first]\nflags = "--family {plans}/tiny.toml --epochs 1 --batch 8"\n'
        '[trainings.second]\nflags = "--family {plans}/tiny.toml --epochs 1 --batch 8 --pretrained {out}/first"\n'
    )
    once = accuracy(plan)
    assert once.returncode == 0, once.stderr
    lines = once.stdout.splitlines()
    assert [line.split("|")[1].strip() for line in lines[3:6]] == [
        "fused, all 2 alive",
        "fused, one dead (mean over all choices; worst)",
        "variant 1",
    ]
    assert [line for line in lines if line.startswith("| **")] == [lines[2], lines[7]]
    assert "| 32 |" in lines[5]
    changed = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.pt")}
    assert len(changed) == 2
    again = accuracy(plan)
    assert again.stdout == once.stdout
    assert {path: path.stat().st_mtime_ns for path in changed} == changed


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        (None, [], "No such file"),
        ("data = ", [], "not valid TOML"),
        ('data = "x"\n', [], "trainings: is missing"),
        ('data = "x"\n[trainings.a]\nflags = "{nowhere}"\n', [], "{nowhere}"),
        ('data = "x"\n[trainings.a]\nflags = ""\n', ["--only", "b"], "the plan has a"),
    ],
)
def test_a_wrong_plan_gets_one_line(tmp_path: Path, text: str | None, flags: list[str], said: str) -> None:
    plan = tmp_path / "plan.toml"
    if text is not None:
        plan.write_text(text)
    ended = accuracy(plan, *flags)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
