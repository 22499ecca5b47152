"""What becomes of a message on its way to the broker."""

from __future__ import annotations

import threading
import time

import paho.mqtt.client as mqtt

_LOSS_CHECK_S = 0.1


class Sent:
    """A message on its way: to the broker's socket (QoS 0), or until the broker has acknowledged it (QoS 1)."""

    def __init__(self, info: mqtt.MQTTMessageInfo, lost: threading.Event, refused: set[int]) -> None:
        self._info = info
        self._lost = lost
        self._refused = refused

    @property
    def is_pending(self) -> bool:
        """Whether the message is still on its way; one whose connection broke no longer is."""
        return not self._lost.is_set() and not self._info.is_published()

    def wait(self, timeout: float) -> bool:
        """Wait until the broker has it.

        Args:
            timeout: in seconds.

        Returns:
            Whether it was written to the broker's socket (QoS 0) or acknowledged (QoS 1); False if the time is over or
            the connection broke before.
        """
        until = time.monotonic() + timeout
        while not self._info.is_published():
            left = until - time.monotonic()
            if left <= 0 or self._lost.is_set():
                return False
            # Wakes up as soon as it is published; of a lost connection paho does not tell.
            self._info.wait_for_publish(min(left, _LOSS_CHECK_S))
        return True

    @property
    def is_refused(self) -> bool:
        """Whether the broker acknowledged that it will not have the message (QoS 1)."""
        return self._info.mid in self._refused
