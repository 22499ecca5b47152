"""Notifications to systemd: ready, and healthy while the work progresses (sd_notify(3), systemd.service(5))."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_PINGS_PER_TIMEOUT = 4


class Work:
    """Times a node's work, item by item: an idle node is healthy, one whose item never ends is not."""

    def __init__(self) -> None:
        """Start idle."""
        self._since: float | None = None

    @contextmanager
    def item(self) -> Iterator[None]:
        """Work on one item within this context."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def is_stuck(self, patience: float) -> bool:
        """Return whether the present item has taken longer than this, in s."""
        since = self._since
        return since is not None and time.monotonic() - since > patience


class Watchdog:
    """Notifies systemd that a unit of `Type=notify` is ready, healthy, or stopping; does nothing without systemd."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Read NOTIFY_SOCKET and WATCHDOG_USEC, which systemd puts into the environment."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        microseconds = environ.get("WATCHDOG_USEC", "")
        self.timeout = int(microseconds) / 1e6 if self._address and microseconds.isdecimal() else 0.0
        """Seconds without a ping after which systemd restarts the unit; 0 without a watchdog."""

    def notify(self, text: str) -> None:
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
                # Whoever asked for notifications is gone; the work continues.
                return

    def watch(self, is_healthy: Callable[[float], bool], stopping: threading.Event) -> None:
        """Ping, until the node stops, as long as it is healthy.

        Args:
            is_healthy: called with the time, in s, that an item of work may take.
            stopping: set when the node ends.
        """
        if not self.timeout:
            return
        interval = self.timeout / _PINGS_PER_TIMEOUT
        while not stopping.wait(interval):
            if is_healthy(self.timeout / 2):
                self.notify("WATCHDOG=1")
