"""Programs that end with the process that started them, even if that process is killed.

The starting process holds the write end of a pipe that is the program's standard input. When it ends, however it ends,
the kernel closes the pipe, and the program sees the end of its input. PR_SET_PDEATHSIG would not do: it follows the
starting thread instead of the process, and is lost when Mosquitto, started by root, changes its user.

Two ways to run a program like that:

    python guard.py FOLDER COMMAND [ARGUMENT ..]                any program, as a child process; removes FOLDER after it
    python -m vp_mqtt.local.guard --module NAME [ARGUMENT ..]   a Python module, in this process

Standard library only: the first is run as a file, without site-packages, to start fast.
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import FrameType

STOP_S = 3.0
"""How long a command may take to end after SIGTERM, in seconds; after that it is killed."""


def when_parent_ends(action: Callable[[], None]) -> None:
    """Call `action` in another thread once standard input is closed."""

    def watch() -> None:
        # Not sys.stdin: a thread that is blocked in its buffer aborts the interpreter's shutdown.
        while os.read(0, 1):
            pass
        action()

    # The thread inherits the mask: signals stay with the main thread, even if that blocks them later on.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    threading.Thread(target=watch, name="parent", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def end_with_parent() -> None:
    """Send this process SIGTERM once standard input is closed."""
    when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))


def run_command(folder: str, command: list[str]) -> int:
    """Run a command until it ends or standard input closes, then remove `folder`; return its exit code."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def stop() -> None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=stop, daemon=True).start()

    signal.signal(signal.SIGTERM, on_signal)
    when_parent_ends(stop)
    code = process.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


def run_module(name: str, arguments: list[str]) -> None:
    """Run a Python module as the main program of this process, which ends with its parent."""
    end_with_parent()
    sys.argv[1:] = arguments
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1] == "--module":
        run_module(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(run_command(sys.argv[1], sys.argv[2:]))
