"""A server with just enough MQTT 5 to give the answers that a real broker gives only when something is wrong."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 1, 2, 3, 4, 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

RECEIVE_MAXIMUM = 0x21
TOPIC_ALIAS_MAXIMUM = 0x22
MAXIMUM_PACKET_SIZE = 0x27


def variable_byte_integer(value: int) -> bytes:
    """Encode a length (MQTT 5.0, section 1.5.5)."""
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | (128 if value else 0))
        if not value:
            return bytes(encoded)


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    return bytes([kind << 4 | flags]) + variable_byte_integer(len(body)) + body


def text(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value


def publish_packet(topic: bytes, payload: bytes, properties: bytes = b"") -> bytes:
    return packet(PUBLISH, text(topic) + variable_byte_integer(len(properties)) + properties + payload)


def disconnect_packet(reason: int) -> bytes:
    return packet(DISCONNECT, bytes([reason, 0]))


@dataclass(frozen=True)
class Packet:
    """A packet from the client.

    Attributes:
        kind: one of the constants above.
        flags: the lower half of its first byte.
        body: what follows the length.
        size: of the whole packet, in bytes.
    """

    kind: int
    flags: int
    body: bytes
    size: int

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def topic(self) -> str:
        """Of a PUBLISH."""
        (length,) = struct.unpack_from("!H", self.body)
        return self.body[2 : 2 + length].decode()

    @property
    def packet_id(self) -> bytes:
        """Of a PUBLISH with QoS 1, SUBSCRIBE or UNSUBSCRIBE."""
        at = 2 + len(self.topic.encode()) if self.kind == PUBLISH else 0
        return self.body[at : at + 2]

    def filters(self) -> list[tuple[str, int]]:
        """Of a SUBSCRIBE: its topic filters and their options."""
        found = []
        at = 3 + self.body[2]
        while at < len(self.body):
            (length,) = struct.unpack_from("!H", self.body, at)
            found.append((self.body[at + 2 : at + 2 + length].decode(), self.body[at + 2 + length]))
            at += 3 + length
        return found


@dataclass
class ScriptedBroker:
    """Accepts connections on 127.0.0.1, gives scripted answers, and records what it receives.

    Attributes:
        connack: reason codes of its answers to CONNECT, one after the other; the last one stays. None: no answer.
        properties: of a CONNACK that accepts.
        suback: reason code for a topic filter.
        puback: reason code of its acknowledgements; None: it acknowledges nothing.
        tls: for a broker that is reached over TLS.
        packets: received so far, over all connections.
    """

    connack: list[int | None] = field(default_factory=lambda: [0])
    properties: bytes = b""
    suback: Callable[[str], int] = lambda _: 0
    puback: int | None = 0
    tls: ssl.SSLContext | None = None
    packets: list[Packet] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._changed = threading.Condition()
        self._links: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse_connections()
        self.hang_up()

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    @property
    def url(self) -> str:
        return f"mqtt{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def refuse_connections(self) -> None:
        """Stop listening."""
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def hang_up(self) -> None:
        """Close every connection without DISCONNECT."""
        with self._changed:
            links, self._links = self._links, []
        for link in links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def send(self, data: bytes) -> None:
        """Send bytes to the client that connected last."""
        with self._changed:
            self._links[-1].sendall(data)

    def await_packets(self, kind: int, count: int = 1, timeout: float = 10.0) -> list[Packet]:
        """Wait until `count` packets of a kind have arrived, and return all of that kind."""

        def found() -> list[Packet]:
            return [one for one in self.packets if one.kind == kind]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, timeout), f"{len(found())} of {count}"
            return found()

    def count(self, kind: int) -> int:
        with self._changed:
            return sum(one.kind == kind for one in self.packets)

    def none_follows(self, kind: int, seconds: float = 0.1) -> bool:
        """Return whether no further packet of a kind arrives for a while."""
        before = self.count(kind)
        time.sleep(seconds)
        return self.count(kind) == before

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self.tls is not None:
                link = self.tls.wrap_socket(link, server_side=True)
            with self._changed:
                self._links.append(link)
            for one in _packets(link):
                with self._changed:
                    self.packets.append(one)
                    self._changed.notify_all()
                if one.kind == DISCONNECT:
                    link.shutdown(socket.SHUT_RDWR)
                answer = self._answer(one)
                if answer is not None:
                    link.sendall(answer)

    def _answer(self, received: Packet) -> bytes | None:
        if received.kind == CONNECT:
            reason = self.connack.pop(0) if len(self.connack) > 1 else self.connack[0]
            if reason is None:
                return None
            properties = b"" if reason else self.properties
            return packet(CONNACK, bytes([0, reason]) + variable_byte_integer(len(properties)) + properties)
        if received.kind == SUBSCRIBE:
            reasons = bytes(self.suback(topic) for topic, _ in received.filters())
            return packet(SUBACK, received.packet_id + b"\0" + reasons)
        if received.kind == UNSUBSCRIBE:
            return packet(UNSUBACK, received.packet_id + b"\0\0")
        if received.kind == PUBLISH and received.qos and self.puback is not None:
            return packet(PUBACK, received.packet_id + bytes([self.puback, 0]))
        return packet(PINGRESP, b"") if received.kind == PINGREQ else None


def _packets(link: socket.socket) -> Iterator[Packet]:
    with link.makefile("rb") as stream:
        while first := stream.read(1):
            length = shift = length_bytes = 0
            while True:
                byte = stream.read(1)[0]
                length |= (byte & 127) << shift
                shift += 7
                length_bytes += 1
                if byte < 128:
                    break
            body = stream.read(length)
            yield Packet(first[0] >> 4, first[0] & 15, body, 1 + length_bytes + length)


WAIT = 10.0
"""Timeout for what should happen at once, in seconds."""


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
