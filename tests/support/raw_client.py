"""A client that sends any bytes: what paho would not send, or not as fast."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.scripted_broker import CONNECT, packet, text

_PROTOCOL_AND_CLEAN_START = text(b"MQTT") + b"\x05\x02"
_CONNACK_BYTES = 5


@contextmanager
def raw_client(port: int, client_id: bytes = b"raw") -> Iterator[socket.socket]:
    """Connect to a broker on 127.0.0.1, and provide the socket to write packets to."""
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(packet(CONNECT, _PROTOCOL_AND_CLEAN_START + b"\0\0\0" + text(client_id)))
        assert len(link.recv(_CONNACK_BYTES)) == _CONNACK_BYTES
        yield link
