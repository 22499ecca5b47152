"""Nodes as processes of their own on this machine, which end with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from vp_mqtt.config.settings import ENV_PREFIX

_END_S = 3.0
_TAIL_LINES = 3
# See vp_mqtt.local.guard: nodes end when their standard input closes.
_COMMAND = (sys.executable, "-m", "vp_mqtt.local.guard", "--module", "vp_mqtt")


class NodeProcesses:
    """Starts nodes as processes, and ends them all when the context ends."""

    def __init__(self, common: Sequence[str]) -> None:
        """Prepare, without starting anything.

        Args:
            common: flags that every node gets.
        """
        self._common = common
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, Path] = {}

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="vp-nodes-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.terminate()
            # A frozen process gets the signal only once it is thawed.
            process.send_signal(signal.SIGCONT)
        for process in self._processes.values():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if self._folder is not None:
            self._folder.cleanup()

    def start(
        self,
        name: str,
        *arguments: str,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        """Start `vp ARGUMENTS` under a name; a name whose process has ended may be used again.

        Args:
            name: identifies the process in the other methods.
            arguments: of `vp`.
            prefix: a command that runs the node, such as `nsenter ..`.
            environment: variables added to this process's own.
            log: file for its log; by default a temporary one.
        """
        # The demo is the same for everyone: settings in the user's environment are for the user's own nodes.
        inherited = {key: value for key, value in os.environ.items() if not key.upper().startswith(ENV_PREFIX)}
        self._logs[name] = log or self._temporary_log(name)
        with self._logs[name].open("wb") as output:
            self._processes[name] = subprocess.Popen(
                [*prefix, *_COMMAND, *arguments, *self._common],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=inherited | dict(environment or {}),
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Kill a node at once (SIGKILL), as if its power were cut."""
        self._processes[name].kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a node a signal."""
        self._processes[name].send_signal(number)

    def pids(self) -> dict[str, int]:
        """Return the process ids of the running nodes, by name."""
        return {name: process.pid for name, process in self._processes.items() if process.poll() is None}

    def wait(self, name: str, timeout: float) -> int:
        """Wait at most `timeout` seconds for a node's process to end, and return its exit code."""
        return self._processes[name].wait(timeout)

    def has_ended(self, name: str) -> bool:
        """Return whether a node's process has ended."""
        return self._processes[name].poll() is not None

    def failed(self) -> str | None:
        """Return name and last log lines of a node that ended with an error, None if there is none."""
        for name, process in self._processes.items():
            if process.poll() not in {None, 0, -signal.SIGKILL}:
                lines = self._logs[name].read_text(encoding="utf-8", errors="replace").splitlines()
                return f"{name}: {' | '.join(lines[-_TAIL_LINES:])}"
        return None

    def _temporary_log(self, name: str) -> Path:
        if self._folder is None:
            raise RuntimeError("nodes are started within the context")
        return Path(self._folder.name) / f"{name}.log"
