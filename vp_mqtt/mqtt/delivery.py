"""The delivery of a published message to the broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

import paho.mqtt.client as mqtt

_LOSS_CHECK_S = 0.1


class Sent:
    """A published message: delivered once it is written to the socket (QoS 0) or acknowledged by the broker (QoS 1)."""

    def __init__(self, info: mqtt.MQTTMessageInfo, lost: threading.Event, refused: Collection[int]) -> None:
        """Follow a message.

        Args:
            info: paho's handle of the message.
            lost: set when the message's connection ends.
            refused: ids of the messages that the broker has refused.
        """
        self._info = info
        self._lost = lost
        self._refused = refused

    @property
    def is_pending(self) -> bool:
        """Whether the message can still be delivered and has not been; never after its connection has ended."""
        return not self._lost.is_set() and not self._info.is_published()

    @property
    def is_delivered(self) -> bool:
        """Whether the message has been delivered; never if its connection ended before."""
        return self._info.is_published()

    @property
    def is_refused(self) -> bool:
        """Whether the broker has acknowledged the message with a refusal (QoS 1)."""
        return self._info.mid in self._refused

    def wait(self, timeout: float) -> bool:
        """Wait until the message is delivered, and return whether it is.

        Args:
            timeout: in seconds.

        Returns:
            False if the time was up, or the connection ended, before the message was delivered.
        """
        until = time.monotonic() + timeout
        while not self._info.is_published():
            left = until - time.monotonic()
            if left <= 0 or self._lost.is_set():
                return False
            # paho wakes us once the message is delivered, but not when the connection ends.
            self._info.wait_for_publish(min(left, _LOSS_CHECK_S))
        return True
