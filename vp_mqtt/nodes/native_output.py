"""What native libraries write to standard error, past our log: caught, so that the log stays one, and kept as reasons.

OpenCV, FFmpeg and libjpeg print raw lines to file descriptor 2, some for every attempt to reach a camera that is off.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import sys
import threading
import time
from collections import deque

from vp_mqtt.logs import LOGGER, redirect

_REMEMBERED = 50
_LINE_BYTES = 500
_SETTLE_S = 0.05


class NativeOutput:
    """The newest lines of native libraries; may be used from any thread."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lines: deque[tuple[float, str]] = deque(maxlen=_REMEMBERED)
        self._is_captured = False

    def capture(self) -> None:
        """From now on, take what is written to file descriptor 2; our own log and tracebacks still get there.

        At log level "debug", the lines are logged.
        """
        # Without standard error, there is no log to spoil; file descriptor 2 may then be any file or socket.
        if self._is_captured or sys.stderr is None:
            return
        self._is_captured = True
        # Without a buffer: what could not be written, since the disk is full, is not tried again at the exit.
        raw = io.FileIO(os.dup(2), "w")
        own = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
        reading, writing = os.pipe()
        # A library must never wait for us.
        os.set_blocking(writing, False)
        sys.stderr.flush()
        os.dup2(writing, 2)
        os.close(writing)
        sys.stderr = own
        redirect(own)
        # A crash cannot be read back by the process that crashes.
        faulthandler.enable(own)
        threading.Thread(target=self._read, args=(reading,), name="native output", daemon=True).start()

    def lines_since(self, since: float) -> list[str]:
        """Return the remembered lines that were written since then (monotonic, in s), oldest first."""
        if self._is_captured:
            # Lines of a call that has just returned may still be on their way through the pipe.
            time.sleep(_SETTLE_S)
        return [line for at, line in list(self._lines) if at >= since]

    def _read(self, reading: int) -> None:
        with contextlib.suppress(OSError), os.fdopen(reading, "rb") as pipe:
            while data := pipe.readline(_LINE_BYTES):
                line = data.decode(errors="replace").strip()
                if line:
                    self._lines.append((time.monotonic(), line))
                    LOGGER.debug("library: %s", line)


NATIVE_OUTPUT = NativeOutput()
"""Of this process: there is only one file descriptor 2."""
