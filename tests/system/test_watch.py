"""`vp watch` says what is missing, on a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.broker import Mosquitto
from tests.support.site import Site

WATCH = [sys.executable, "-m", "vp_mqtt", "watch"]


def test_watch_names_a_fusion_node_that_is_missing_and_one_that_died(site: Site) -> None:
    site.start_variant(0)
    site.start("watch", "watch")
    site.await_log("watch", "no fusion node: start vp-fusion")
    site.await_log("watch", "no camera node: start vp-camera")
    site.start_fusion()
    site.await_state("online", "fusion")
    site.signal("fusion", signal.SIGKILL)
    site.await_log("watch", "no fusion node is online: 'fusion' is offline")


def test_watch_says_that_nothing_is_heard_of_a_site(broker: Mosquitto) -> None:
    watch = subprocess.Popen([*WATCH, "--broker", broker.url, "--site", "mistyped"], stderr=subprocess.PIPE, text=True)
    try:
        assert watch.stderr is not None
        lines = iter(watch.stderr.readline, "")
        assert any("nothing is heard of site 'mistyped'" in line for line in lines)
    finally:
        watch.terminate()
        watch.wait(10)


def drawn(broker: Mosquitto, kind: str, until: bytes) -> bytes:
    """Run `vp watch` on a terminal of a kind until some text appears; return all that it wrote."""
    terminal, end = pty.openpty()
    watch = subprocess.Popen(
        [*WATCH, "--broker", broker.url, "--site", "mistyped"],
        stdin=end,
        stdout=end,
        stderr=end,
        env={**os.environ, "TERM": kind},
        start_new_session=True,
    )
    os.close(end)
    written, deadline = b"", time.monotonic() + 20
    try:
        while until not in written and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                written += os.read(terminal, 65536)
    finally:
        watch.terminate()
        watch.wait(10)
        os.close(terminal)
    assert until in written
    return written


def test_watch_draws_on_a_terminal_and_prints_lines_on_a_dumb_one(broker: Mosquitto) -> None:
    assert b"\x1b[" in drawn(broker, "xterm", b"nothing is heard")
    assert b"\x1b" not in drawn(broker, "dumb", b"nothing is heard")


def test_forced_colors_move_no_cursor_in_a_pipe(broker: Mosquitto, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as file:
        watch = subprocess.Popen(
            [*WATCH, "--broker", broker.url],
            stdout=file,
            stderr=subprocess.PIPE,
            env={**os.environ, "FORCE_COLOR": "1"},
        )
        assert watch.stderr is not None
        assert b"connected" in watch.stderr.readline()
        watch.terminate()
        assert watch.wait(10) == 0
    assert out.read_bytes() == b""
