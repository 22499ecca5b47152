"""Work in a process of its own: one at a time, with progress, a log, and an end that can be forced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

_LOG_LINES = 200
_LONGEST_LINE = 2000
_MOST_OUTPUT = 4_000_000
_STOP_S = 4.0
_QUICK_STOP_S = 1.0
"""Two jobs may run when a service has 5 s to end."""
_LOW_PRIORITY = 10


class JobState(StrEnum):
    """What has become of a job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it is now.

    Attributes:
        kind: what it does, such as "train".
        state: what has become of it.
        stage: what it is at; empty if it does not say.
        share: how much of the stage is done, 0..100.
        seconds: that it has run.
        log: its newest lines.
        problem: why it failed, for people; empty unless it did.
    """

    kind: str
    state: JobState
    stage: str
    share: float
    seconds: float
    log: tuple[str, ...]
    problem: str

    @property
    def is_running(self) -> bool:
        """Whether it still runs."""
        return self.state is JobState.RUNNING


class Job:
    """`vp` with some arguments, as a child process that ends with this one."""

    def __init__(
        self,
        kind: str,
        arguments: Sequence[str],
        *,
        on_done: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
        good_codes: frozenset[int] = frozenset({0}),
    ) -> None:
        """Prepare.

        Args:
            kind: what it does.
            arguments: of `vp`.
            on_done: called with what it has written to its output once it has ended well, in a thread of the job.
                What it raises as ValueError or OSError counts as a failure.
            environment: its variables; by default this process's.
            good_codes: exit codes that say that it has ended well.
        """
        self._kind = kind
        # The guard ends it when its input closes: with this process, however that ends.
        self._command = [sys.executable, "-m", "vp_mqtt.local.guard", "--module", "vp_mqtt", *arguments]
        self._environment = os.environ if environment is None else environment
        self._good_codes = good_codes
        self._on_done = on_done
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._state = JobState.RUNNING
        self._stage, self._share = "", 0.0
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._problem = ""
        self._began = self._ended = time.monotonic()

    def start(self) -> None:
        """Begin, in the background.

        Raises:
            OSError: no process can be started.
        """
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        try:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _LOW_PRIORITY)
        except OSError:
            self._log.append("it runs at the usual priority")
        threading.Thread(target=self._follow, args=(self._process,), name="job", daemon=True).start()

    def view(self) -> JobView:
        """Return the job as it is now."""
        with self._lock:
            end = time.monotonic() if self._state is JobState.RUNNING else self._ended
            seconds = end - self._began
            return JobView(self._kind, self._state, self._stage, self._share, seconds, tuple(self._log), self._problem)

    def cancel(self) -> None:
        """End it: it is asked to, and killed if it does not."""
        with self._lock:
            if self._process is None or self._state is not JobState.RUNNING:
                return
            self._state = JobState.CANCELLED
            self._ended = time.monotonic()
        threading.Thread(target=_end, args=(self._process,), daemon=True).start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended, so many seconds at most; return whether it has."""
        until = time.monotonic() + timeout_s
        while self.view().is_running and time.monotonic() < until:
            time.sleep(0.02)
        return not self.view().is_running

    def stop(self) -> None:
        """End it now, as `cancel` does, and wait until it has ended."""
        if self._process is not None and self._process.poll() is None:
            _end(self._process, _QUICK_STOP_S)

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        output: list[bytes] = []
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 (pipes, see above)
        reader = threading.Thread(target=_read_all, args=(process.stdout, output), daemon=True)
        reader.start()
        for line in iter(lambda: process.stderr.readline(_LONGEST_LINE) if process.stderr else b"", b""):
            self._note(line.decode(errors="replace").rstrip())
        reader.join()
        code = process.wait()
        problem = "" if code in self._good_codes else self._last_line() or f"it ended with code {code}"
        text = b"".join(output).decode(errors="replace")
        if not problem:
            try:
                self._on_done(text)
            except (OSError, ValueError) as error:
                problem = f"its result cannot be used: {error}"
        with self._lock:
            if self._state is JobState.RUNNING:
                self._state = JobState.FAILED if problem else JobState.DONE
                self._problem = problem
                self._ended = time.monotonic()

    def _note(self, line: str) -> None:
        progress = _as_progress(line)
        with self._lock:
            if progress is not None:
                self._stage, self._share = progress
            elif line:
                self._log.append(line)

    def _last_line(self) -> str:
        with self._lock:
            return self._log[-1].removeprefix("vp: ") if self._log else ""


def _as_progress(line: str) -> tuple[str, float] | None:
    """Return the stage that a line tells, and how much of it is done, 0..100; None if it tells something else."""
    if not line.startswith('{"stage"'):
        return None
    try:
        found = json.loads(line)
        return str(found["stage"]), 100 * min(1.0, found["done"] / max(1, found["total"]))
    except (ValueError, KeyError, TypeError):
        return None


def _read_all(stream: IO[bytes], into: list[bytes]) -> None:
    left = _MOST_OUTPUT
    while part := stream.read(65_536):
        into.append(part[:left])
        left -= len(into[-1])


def _end(process: subprocess.Popen[bytes], within_s: float = _STOP_S) -> None:
    # As Ctrl-C does: what is half done is cleared away.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
