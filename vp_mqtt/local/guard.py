"""Run one command and stop it when standard input closes: `guard.py FOLDER COMMAND [ARGUMENT ...]`.

A broker started this way cannot outlive the process that started it, not even one that was killed: the kernel closes
the pipe. PR_SET_PDEATHSIG would not do: it follows the starting thread instead of the process, and is lost when
Mosquitto, started as root, changes its user. Standard library only: it is run as a file, not imported.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from types import FrameType

STOP_S = 3.0
"""How long a command may take to end after a polite request, in seconds."""


def main(folder: str, command: list[str]) -> int:
    """Run `command` until it ends or standard input closes, then remove `folder`; return its exit code."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def stop() -> None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()

    def stop_when_alone() -> None:
        # Not sys.stdin: a thread blocked in its buffer aborts the interpreter's shutdown.
        while os.read(0, 1):
            pass
        stop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=stop, daemon=True).start()

    signal.signal(signal.SIGTERM, on_signal)
    threading.Thread(target=stop_when_alone, daemon=True).start()
    code = process.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
