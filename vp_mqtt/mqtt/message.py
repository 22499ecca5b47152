"""MQTT messages as they come and go (MQTT 5.0, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_UTF8_BYTES = 4  # of a character, at most
_LARGEST_REST = 64  # headers, lengths, identifiers and numbers, generously


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it arrived.

    Attributes:
        topic: where it was published.
        payload: its bytes.
        correlation: MQTT correlation data, None without.
        at: when it arrived, on this machine's monotonic clock, in s.
    """

    topic: str
    payload: bytes
    correlation: bytes | None
    at: float


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish.

    Attributes:
        topic: where to.
        payload: its bytes.
        qos: 0 or 1.
        retain: keep it at the broker for those who subscribe later.
        correlation: MQTT correlation data.
        content_type: MQTT content type, a MIME type.
        expiry_s: after so many seconds the broker need not deliver it any more.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    correlation: bytes | None = None
    content_type: str | None = None
    expiry_s: int | None = None

    def properties(self, alias: int | None = None) -> Properties:
        """Return the message's MQTT 5 properties, the topic's alias among them if it has one."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if alias is not None:
            properties.TopicAlias = alias
        if self.correlation is not None:
            properties.CorrelationData = self.correlation
        if self.content_type is not None:
            properties.ContentType = self.content_type
        if self.expiry_s is not None:
            properties.MessageExpiryInterval = self.expiry_s
        return properties

    def fits(self, limit: int) -> bool:
        """Tell whether the whole packet has at most so many bytes; at once where that is plain, as it nearly always is.

        paho takes as long to pack a message's properties as to publish it.
        """
        texts = len(self.topic) + len(self.content_type or "")
        at_most = len(self.payload) + _UTF8_BYTES * texts + len(self.correlation or b"") + _LARGEST_REST
        return at_most <= limit or self.packet_bytes() <= limit

    def packet_bytes(self) -> int:
        """Return the size of the whole MQTT PUBLISH packet, in bytes (MQTT 5.0, section 3.3)."""
        packet_id = 2 if self.qos else 0
        properties = len(self.properties().pack())  # type: ignore[no-untyped-call]
        remaining = 2 + len(self.topic.encode()) + packet_id + properties + len(self.payload)
        length_bytes = 1 + sum(remaining >= 128**n for n in (1, 2, 3))
        return 1 + length_bytes + remaining
