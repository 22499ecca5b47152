"""Lines that native libraries write to file descriptor 2, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, sys, time
from vp_mqtt import logs
from vp_mqtt.nodes.native_output import NATIVE_OUTPUT

logs.set_up(json_lines=True, level=sys.argv[1])
NATIVE_OUTPUT.capture()
NATIVE_OUTPUT.capture()
started = time.monotonic()
os.write(2, b"[rtsp @ 0x5f] method DESCRIBE failed: 401 Unauthorized\\nold rtsp://a:Geheim@b\\n")
assert len(NATIVE_OUTPUT.lines_since(started)) == 2, NATIVE_OUTPUT.lines_since(started)
assert NATIVE_OUTPUT.lines_since(time.monotonic()) == []
for _ in range(200):
    try:
        os.write(2, b"x" * 10_000)
    except BlockingIOError:
        pass
logs.LOGGER.info("ours")
print("by hand", file=sys.stderr)
"""


def run(level: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, level],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def test_lines_of_libraries_are_caught_and_ours_still_come() -> None:
    first, second = run("info").splitlines()
    assert '"message": "ours"' in first
    assert second == "by hand"


def test_lines_of_libraries_are_logged_at_level_debug_without_passwords() -> None:
    lines = run("debug")
    assert '"message": "library: [rtsp @ 0x5f] method DESCRIBE failed: 401 Unauthorized"' in lines
    assert "Geheim" not in lines
