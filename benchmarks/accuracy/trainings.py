"""Running `vp` for the benchmarks of training: what is done is not repeated, what was interrupted goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vp_mqtt.errors import UserError


def vp(*arguments: str) -> str:
    """Run `vp` and return what it printed.

    Raises:
        UserError: it failed.
    """
    command = [sys.executable, "-m", "vp_mqtt", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise UserError(f"vp {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout


def trained(data: str, out: Path, *flags: str) -> Path:
    """Run `vp train` into a folder, unless that is done, and return the folder.

    Raises:
        UserError: the training failed.
    """
    done = out / "done"
    if not done.exists():
        resume = ["--resume"] if (out / "checkpoint.pt").exists() else []
        vp("train", data, "--out", str(out), *flags, *resume)
        done.touch()
    return out


def exported(training: Path) -> Path:
    """Run `vp export` on a training, unless that is done, and return the bundle.

    Raises:
        UserError: the export failed.
    """
    bundle = training / "bundle"
    if not bundle.exists():
        vp("export", str(training), "--out", str(bundle))
    return bundle
