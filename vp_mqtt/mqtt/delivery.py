"""What becomes of a message on its way to the broker."""

from __future__ import annotations

import threading

import paho.mqtt.client as mqtt


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

    @property
    def is_refused(self) -> bool:
        """Whether the broker acknowledged that it will not have the message (QoS 1)."""
        return self._info.mid in self._refused
