"""MQTT messages, received and outgoing, and topic aliases (MQTT 5.0, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from vp_mqtt.mqtt.flood_guard import Limit
from vp_mqtt.mqtt.publish_packet import pack_properties

_UTF8_BYTES = 4  # per character, at most
_MAX_OVERHEAD_BYTES = 64  # headers, lengths, identifiers and numbers, rounded up
_MAX_ALIASED_PAYLOAD = 1024


class Subscription(NamedTuple):
    """A topic filter to subscribe to.

    Attributes:
        topic: the filter.
        qos: highest QoS of the messages, 0 or 1.
        retained: whether the broker is to send what it has retained; False for topics on which nothing old is of use.
        limit: how much may come before the topic is left at the broker, see `TopicGates`; None if that is bounded
            elsewhere, or unbounded.
    """

    topic: str
    qos: int = 0
    retained: bool = True
    limit: Limit | None = None


AnySubscription = tuple[str, int] | Subscription
"""A subscription, or its topic filter and QoS."""


class Received(NamedTuple):
    """A message as it arrived.

    Attributes:
        topic: where it was published.
        payload: its bytes.
        correlation: MQTT correlation data; None without.
        at: when it arrived, on this machine's monotonic clock, in seconds.
        retained: whether the broker had it from before our subscription.
    """

    topic: str
    payload: bytes
    correlation: bytes | None
    at: float
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish.

    Attributes:
        topic: where to publish it.
        payload: its bytes.
        qos: 0 or 1.
        retain: whether the broker keeps it for later subscribers.
        correlation: MQTT correlation data.
        content_type: MQTT content type, a MIME type.
        expiry_s: message expiry interval, in seconds: the broker need not deliver it later than that.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    correlation: bytes | None = None
    content_type: str | None = None
    expiry_s: int | None = None

    def properties(self, alias: int | None = None) -> bytes:
        """Return the MQTT 5 properties of the message, packed, including its topic alias if it has one."""
        return pack_properties(
            alias=alias, correlation=self.correlation, content_type=self.content_type, expiry_s=self.expiry_s
        )

    def fits(self, limit: int) -> bool:
        """Return whether the whole packet has at most `limit` bytes.

        The exact size is computed only near the limit.
        """
        characters = len(self.topic) + len(self.content_type or "")
        upper_bound = len(self.payload) + _UTF8_BYTES * characters + len(self.correlation or b"") + _MAX_OVERHEAD_BYTES
        return upper_bound <= limit or self.packet_bytes() <= limit

    def packet_bytes(self) -> int:
        """Return the size of the whole PUBLISH packet without a topic alias, in bytes."""
        packet_id = 2 if self.qos else 0
        properties = len(self.properties())
        remaining = 2 + len(self.topic.encode()) + packet_id + properties + len(self.payload)
        length_bytes = 1 + sum(remaining >= 128**n for n in (1, 2, 3))
        return 1 + length_bytes + remaining


class TopicAliases:
    """The topic aliases of one connection: a topic that is used again travels as a number (section 3.3.2.3.4)."""

    def __init__(self, maximum: int = 0) -> None:
        """Start without any.

        Args:
            maximum: how many the broker accepts: Topic Alias Maximum in its CONNACK, 0 without.
        """
        self._maximum = maximum
        self._aliases: dict[str, int] = {}

    def assign(self, message: Outgoing) -> tuple[str, int | None]:
        """Return the topic to send a message with, empty if the broker knows its alias, and the alias, if any.

        Acknowledged and retained messages are rare, and beside a picture a topic is short: they get no alias, which
        leaves enough for small and frequent messages.
        """
        if message.qos or message.retain or len(message.payload) > _MAX_ALIASED_PAYLOAD:
            return message.topic, None
        if (alias := self._aliases.get(message.topic)) is not None:
            return "", alias
        if len(self._aliases) >= self._maximum:
            return message.topic, None
        self._aliases[message.topic] = len(self._aliases) + 1
        return message.topic, self._aliases[message.topic]
