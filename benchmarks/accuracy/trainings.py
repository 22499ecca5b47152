"""Runs `vp train`, `vp export` and `vp eval`: finished steps are not repeated, interrupted trainings are resumed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vp_mqtt.errors import UserError


def run_vp(*arguments: str) -> str:
    """Run `vp` and return its output.

    Raises:
        UserError: it failed.
    """
    command = [sys.executable, "-m", "vp_mqtt", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise UserError(f"vp {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout


def train(data: str, out: Path, *flags: str) -> Path:
    """Run `vp train` into a folder, unless it has finished before, and return the folder.

    Raises:
        UserError: the training failed.
    """
    done = out / "done"
    if not done.exists():
        resume = ["--resume"] if (out / "checkpoint.pt").exists() else []
        run_vp("train", data, "--out", str(out), *flags, *resume)
        done.touch()
    return out


def export(training: Path) -> Path:
    """Run `vp export` on a training, unless it has been exported before, and return the bundle's folder.

    Raises:
        UserError: the export failed.
    """
    bundle = training / "bundle"
    if not bundle.exists():
        run_vp("export", str(training), "--out", str(bundle))
    return bundle
