"""Words to systemd: ready, and well as long as the work goes on (sd_notify(3), systemd.service(5))."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_PINGS_PER_TIMEOUT = 4


class Work:
    """A node's work, piece by piece: an idle node is well, one whose piece of work never ends is not."""

    def __init__(self) -> None:
        """Start idle."""
        self._since: float | None = None

    @contextmanager
    def piece(self) -> Iterator[None]:
        """Do one piece of work within this context."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def is_stuck(self, patience: float) -> bool:
        """Tell whether the piece at work has taken longer than this, in s."""
        since = self._since
        return since is not None and time.monotonic() - since > patience


class Watchdog:
    """Tells systemd that a unit of `Type=notify` is ready, well, or stopping; silent where nobody listens."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Read what systemd has put into the environment: NOTIFY_SOCKET and WATCHDOG_USEC."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        microseconds = environ.get("WATCHDOG_USEC", "")
        self.timeout = int(microseconds) / 1e6 if self._address and microseconds.isdecimal() else 0.0
        """Seconds without a ping after which systemd restarts the unit; 0 without a watchdog."""

    def tell(self, text: str) -> None:
        """Send one assignment, such as `READY=1`."""
        if not self._address:
            return
        # A leading @ stands for Linux's abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            try:
                sender.connect(address)
                sender.send(text.encode())
            except OSError:
                # Whoever asked to be told is gone; the work goes on.
                return

    def watch(self, is_well: Callable[[float], bool], stopping: threading.Event) -> None:
        """Ping, until the node stops, as long as it is well.

        Args:
            is_well: told how long, in s, a piece of work may take.
            stopping: set when the node ends.
        """
        if not self.timeout:
            return
        interval = self.timeout / _PINGS_PER_TIMEOUT
        while not stopping.wait(interval):
            if is_well(self.timeout / 2):
                self.tell("WATCHDOG=1")
