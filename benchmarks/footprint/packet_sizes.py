"""Sizes of MQTT 5 packets as a broker sends them."""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from vp_mqtt.local.ports import HOST
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.topics import Kind, TopicError

_PUBLISH = 0x30
_KEEP_ALIVE_S = 0  # none: the listener sends nothing
_CHUNK = 65_536
_START_S = 5.0


@dataclass(frozen=True, slots=True)
class Packet:
    """A PUBLISH packet.

    Attributes:
        topic: its topic.
        payload_bytes: size of its payload, in bytes.
        packet_bytes: size of the whole packet, in bytes: fixed header, topic, properties and payload.
    """

    topic: str
    payload_bytes: int
    packet_bytes: int


def variable_integer(data: bytes, start: int) -> tuple[int, int] | None:
    """Return a variable byte integer (MQTT 5.0, section 1.5.5) and the position after it; None if it is incomplete."""
    value = 0
    for position in range(4):
        if start + position >= len(data):
            return None
        byte = data[start + position]
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:  # noqa: PLR2004 (the last one)
            return value, start + position + 1
    raise ValueError("not an MQTT packet")


def next_packet(data: bytes) -> tuple[int, Packet | None] | None:
    """Return the length of the first packet, and the packet if it is a PUBLISH; None if it is incomplete.

    Raises:
        ValueError: the data is not MQTT.
    """
    length = variable_integer(data, 1)
    if length is None or len(data) < length[1] + length[0]:
        return None
    remaining, position = length
    end = position + remaining
    if data[0] & 0xF0 != _PUBLISH:
        return end, None
    topic_end = position + 2 + int.from_bytes(data[position : position + 2], "big")
    topic = data[position + 2 : topic_end].decode()
    properties = variable_integer(data, topic_end + (2 if data[0] & 0x06 else 0))
    if properties is None:
        raise ValueError("not an MQTT packet")
    return end, Packet(topic, end - properties[1] - properties[0], end)


def _encode_text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


class PacketListener:
    """Subscribes to topics with QoS 0 through a socket of its own, and records the sizes of all packets."""

    def __init__(self, port: int, topic_filter: str) -> None:
        """Prepare, without connecting.

        Args:
            port: port of a broker on this machine.
            topic_filter: what to subscribe to.
        """
        self._port = port
        self._topic_filter = topic_filter
        self.packets: list[Packet] = []
        self._thread = threading.Thread(target=self._read, name="packets", daemon=True)

    def _read(self) -> None:
        held = b""
        with contextlib.suppress(OSError):
            while chunk := self._socket.recv(_CHUNK):
                held += chunk
                while (found := next_packet(held)) is not None:
                    end, packet = found
                    held = held[end:]
                    if packet is not None:
                        self.packets.append(packet)

    def __enter__(self) -> Self:
        """Connect and subscribe."""
        connect = (
            _encode_text("MQTT") + b"\x05\x02" + _KEEP_ALIVE_S.to_bytes(2, "big") + b"\x00" + _encode_text("vp-wire")
        )
        subscribe = b"\x00\x01\x00" + _encode_text(self._topic_filter) + b"\x00"
        self._socket = socket.create_connection((HOST, self._port), timeout=_START_S)
        self._socket.settimeout(None)
        self._socket.sendall(b"\x10" + bytes([len(connect)]) + connect + b"\x82" + bytes([len(subscribe)]) + subscribe)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def sizes(self) -> Mapping[Kind, dict[str, Any]]:
        """Return mean payload size and mean packet size, in bytes, and the number of packets, by kind."""
        kinds: dict[Kind, list[Packet]] = {}
        for packet in list(self.packets):
            with contextlib.suppress(TopicError):
                kinds.setdefault(topics.parse(packet.topic).kind, []).append(packet)
        return {
            kind: {
                "payload_bytes": round(statistics.fmean(packet.payload_bytes for packet in some), 1),
                "packet_bytes": round(statistics.fmean(packet.packet_bytes for packet in some), 1),
                "packets": len(some),
            }
            for kind, some in kinds.items()
        }
