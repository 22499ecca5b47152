"""Running `vp` as a process, and reading how it reports a user's error."""

from __future__ import annotations

import os
import subprocess
import sys


def run_vp(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run `python -m vp_mqtt ARGUMENTS`; return exit code, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "vp_mqtt", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def error_line(result: tuple[int, str, str], program: str = "vp") -> str:
    """Return the message of a user's error, which must be all output, one line, with exit code 2."""
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert err.startswith(f"{program}: ")
    return err.removeprefix(f"{program}: ").rstrip("\n")
