"""A broker as a child process: what Mosquitto and the embedded broker have in common."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

from vp_mqtt.local import ports
from vp_mqtt.local.guard import STOP_S

START_S = 10.0
"""How long a broker may take until it accepts an MQTT connection, in seconds."""

_PORTS_TRIED = 5
_TAIL_LINES = 5
_POLL_S = 0.02
_GUARD = Path(__file__).with_name("guard.py")


class StartError(Exception):
    """The broker did not start; the message holds the last lines of its output."""


class BrokerProcess:
    """A broker on a port of 127.0.0.1, which it keeps over restarts.

    It runs in a session of its own, so that Ctrl-C in the terminal does not reach it, below a guard process that ends
    it when this process ends.

    Args:
        write_config: writes the configuration for a port into a folder and returns the command that runs the broker.
            Every start gets a new folder, which everyone can read (Mosquitto, started by root, reads it as another
            user) and which is removed when the broker has ended.
        port: a TCP port; 0: a free one is chosen at the first start.

    Attributes:
        port: the TCP port; 0 before the first start if none was given.
    """

    def __init__(self, write_config: Callable[[Path, int], list[str]], *, port: int = 0) -> None:
        self.port = port
        self._write_config = write_config
        self._folder = Path()
        self._guard: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    @property
    def guard_pid(self) -> int | None:
        """The process id of the guard, whose only child is the broker; None while stopped."""
        return self._guard.pid if self._guard else None

    @property
    def pid(self) -> int:
        """The process id of the broker itself.

        Raises:
            RuntimeError: the broker is not running.
        """
        children = psutil.Process(self._guard.pid).children() if self._guard else []
        if not children:
            raise RuntimeError("the broker is not running")
        return int(children[0].pid)

    def start(self) -> None:
        """Start the broker and wait until it answers an MQTT 5 connection; with a port of its choice, try several.

        Raises:
            StartError: it ended, or did not answer within 10 s.
        """
        given = self.port
        for tries_left in reversed(range(_PORTS_TRIED)):
            try:
                self.port = given or ports.free_port()
                self._launch()
                self._wait()
            except BaseException as error:
                self.stop()
                is_taken = isinstance(error, StartError) and not ports.is_free(self.port)
                self.port = given
                if not given and is_taken and tries_left:
                    continue
                raise
            return

    def stop(self) -> None:
        """Ask the broker to end, kill it after 3 s, and wait until it is gone; does nothing while stopped."""
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            guard.stdin.close()
            try:
                guard.wait(2 * STOP_S)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(guard.pid, signal.SIGKILL)
                guard.wait()
        if self._output is not None:
            self._output.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def signal(self, number: signal.Signals) -> None:
        """Send the broker a signal, such as SIGKILL, or SIGSTOP to freeze it: its connections then stay open.

        Raises:
            RuntimeError: the broker is not running.
        """
        os.kill(self.pid, number)

    def _launch(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vp-broker-"))
        self._folder.chmod(0o755)
        # Without a name: the guard removes the folder when the broker has ended, and the output is read after that.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        command = self._write_config(self._folder, self.port)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(self._folder), *command],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                ports.connect_code(self.port)
                if self._is_running():
                    return
            if not self._is_running():
                raise StartError(f"ended at once: {self._last_output()}")
            time.sleep(_POLL_S)
        raise StartError(f"did not answer on port {self.port} within {START_S:.0f} s: {self._last_output()}")

    def _is_running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def _last_output(self) -> str:
        if self._output is None:
            return ""
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").split("\n")
        return " | ".join([line.strip() for line in lines if line.strip()][-_TAIL_LINES:]) or "(no output)"
