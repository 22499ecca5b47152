"""Topic aliases: a topic that a connection uses again and again travels as a number (MQTT 5.0, section 3.3.2.3.4)."""

from __future__ import annotations

from vp_mqtt.mqtt.message import Outgoing

_LARGEST_PAYLOAD = 1024


class Aliases:
    """The topic aliases of one connection, as many as its broker takes."""

    def __init__(self, maximum: int = 0) -> None:
        """Start without any.

        Args:
            maximum: how many the broker takes: Topic Alias Maximum in its CONNACK, 0 without.
        """
        self._maximum = maximum
        self._known: dict[str, int] = {}

    def of(self, message: Outgoing) -> tuple[str, int | None]:
        """Return the topic to send a message with, empty once the broker knows its alias, and the alias, if any.

        What is acknowledged or retained is rare, and beside a picture a topic is nothing: these have none, so that
        there are enough for what is small and frequent.
        """
        if message.qos or message.retain or len(message.payload) > _LARGEST_PAYLOAD:
            return message.topic, None
        if (alias := self._known.get(message.topic)) is not None:
            return "", alias
        if len(self._known) >= self._maximum:
            return message.topic, None
        self._known[message.topic] = len(self._known) + 1
        return message.topic, self._known[message.topic]
