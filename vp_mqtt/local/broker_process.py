"""A broker as a child process: what Mosquitto and the packaged broker have in common."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from vp_mqtt.local.guard import STOP_S

HOST = "127.0.0.1"
START_S = 10.0
"""How long a broker may take until it accepts an MQTT connection, in seconds."""
MAX_PACKET = 16 * 1024 * 1024
"""The largest MQTT packet accepted, in bytes: room for a model file, and a bound on what one message can cost."""

_TRIES = 5
_TAIL_LINES = 5
_POLL_S = 0.02
_GUARD = Path(__file__).with_name("guard.py")
# MQTT 5 CONNECT, clean start, keep-alive 60 s, no properties, client id "vp-probe"; then DISCONNECT.
_CONNECT = b"\x10\x15\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x08vp-probe"
_DISCONNECT = b"\xe0\x00"
_CONNACK = 0x20


class StartError(Exception):
    """The broker did not start; the message holds its last lines of output."""


def is_free(port: int) -> bool:
    """Tell whether nothing listens on TCP `port` of 127.0.0.1."""
    with socket.socket() as probe:
        # As brokers do: connections of a former broker that linger in TIME_WAIT don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a TCP port of 127.0.0.1, 20000 to 29999, that nothing listens on.

    Below the range that the kernel gives to outgoing connections: a client that tries to reach a stopped broker on a
    port of that range can end up connected to itself, and then keeps the broker from coming back.

    Raises:
        StartError: a hundred tries found none.
    """
    for _ in range(100):
        port = 20000 + secrets.randbelow(10000)
        if is_free(port):
            return port
    raise StartError("no free TCP port between 20000 and 29999")


def connect_code(port: int, *, timeout: float = 1.0) -> int:
    """Open an MQTT 5 connection to `port` of 127.0.0.1 and return the broker's reason code: 0 means accepted.

    Args:
        port: a TCP port.
        timeout: seconds to wait for each step.

    Raises:
        OSError: nothing listens there, or it does not answer as an MQTT broker does.
    """
    with socket.create_connection((HOST, port), timeout=timeout) as link:
        link.sendall(_CONNECT)
        answer = link.recv(4, socket.MSG_WAITALL)
        if len(answer) < 4 or answer[0] != _CONNACK:  # noqa: PLR2004 - type, length, flags, reason code
            raise ConnectionError(f"no MQTT broker on port {port}: it answered {answer!r}")
        link.sendall(_DISCONNECT)
        return answer[3]


class BrokerProcess:
    """A broker that listens on 127.0.0.1, in a session of its own, so that Ctrl-C in the terminal passes it by.

    Args:
        write: writes the configuration for a port into a folder and returns the command that runs the broker. Every
            start gets a new folder, which everyone can read (Mosquitto, started as root, reads it as another user)
            and which is removed when the broker has ended.
    """

    def __init__(self, write: Callable[[Path, int], list[str]]) -> None:
        self.port = 0
        self._write = write
        self._folder = Path()
        self._guard: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    @property
    def guard_pid(self) -> int | None:
        """The process id of the guard, whose only child is the broker; None while stopped."""
        return self._guard.pid if self._guard else None

    def start(self, *, port: int | None = None) -> None:
        """Start the broker and wait until it answers an MQTT 5 connection.

        Args:
            port: a TCP port, or None for a free one; should another process be faster to take that, the next is tried.

        Raises:
            StartError: it ended, or did not answer within 10 s.
        """
        for tries_left in reversed(range(_TRIES)):
            self.port = port or free_port()
            try:
                self._launch()
                self._wait()
            except BaseException as error:
                self.stop()
                taken = isinstance(error, StartError) and not is_free(self.port)
                if port is None and taken and tries_left:
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

    def _launch(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vp-broker-"))
        self._folder.chmod(0o755)
        # Nameless: the guard removes the folder when the broker has ended, and what it said last is read after that.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(self._folder), *self._write(self._folder, self.port)],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                connect_code(self.port)
                if self._alive():
                    return
            if not self._alive():
                raise StartError(f"ended at once: {self._last_words()}")
            time.sleep(_POLL_S)
        raise StartError(f"did not answer on port {self.port} within {START_S:.0f} s: {self._last_words()}")

    def _alive(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def _last_words(self) -> str:
        if self._output is None:
            return ""
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").split("\n")
        return " | ".join([line.strip() for line in lines if line.strip()][-_TAIL_LINES:]) or "(no output)"
