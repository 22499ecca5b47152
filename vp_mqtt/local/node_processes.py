"""The demo's nodes: real processes, which end with the demo."""

from __future__ import annotations

import ctypes
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
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """In the child, before it runs: ask the kernel for SIGTERM when the demo dies, however it dies."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class NodeProcesses:
    """Starts nodes as processes of their own, and ends them all when the context ends."""

    def __init__(self, common: Sequence[str]) -> None:
        """Prepare, without starting anything.

        Args:
            common: flags that every node gets.
        """
        self._common = common
        self._folder = tempfile.TemporaryDirectory(prefix="vp-demo-")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.terminate()
            # A frozen one takes the signal only when it is thawed.
            process.send_signal(signal.SIGCONT)
        for process in self._processes.values():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def start(
        self,
        name: str,
        *arguments: str,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        """Start `vp ARGUMENTS`, under a name of ours; a name whose process has ended may be used again.

        Args:
            name: ours, for the other methods.
            arguments: of `vp`.
            prefix: a command that runs the node, such as `nsenter ..`.
            environment: variables added to our own.
            log: where its log goes; by default to a file that ends with us.
        """
        # The demo is the same for everyone: settings in the user's environment are for the user's own nodes.
        inherited = {key: value for key, value in os.environ.items() if not key.upper().startswith(ENV_PREFIX)}
        with (log or self._log(name)).open("wb") as output:
            self._processes[name] = subprocess.Popen(
                [*prefix, sys.executable, "-m", "vp_mqtt", *arguments, *self._common],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=inherited | dict(environment or {}),
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 (called from the main thread, before others start)
            )

    def kill(self, name: str) -> None:
        """Kill a node at once (SIGKILL), as if its power were cut."""
        self._processes[name].kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a node a signal."""
        self._processes[name].send_signal(number)

    def pids(self) -> dict[str, int]:
        """Return the process ids of the nodes that run, by name."""
        return {name: process.pid for name, process in self._processes.items() if process.poll() is None}

    def wait(self, name: str, timeout: float) -> int:
        """Wait for the end of a node's process, at most `timeout` s, and return its exit code."""
        return self._processes[name].wait(timeout)

    def has_ended(self, name: str) -> bool:
        """Tell whether a node's process has ended."""
        return self._processes[name].poll() is not None

    def failed(self) -> str | None:
        """Return the name and last words of a node that ended with an error, None if all is well."""
        for name, process in self._processes.items():
            if process.poll() not in {None, 0, -signal.SIGKILL}:
                lines = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
                return f"{name}: {' | '.join(lines[-_TAIL_LINES:])}"
        return None

    def _log(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.log"
