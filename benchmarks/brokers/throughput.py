"""How many small messages a second a broker passes on."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.brokers.checks import VOTE, Finding
from benchmarks.brokers.client import QUIET_S, WAIT_S, RunningBroker
from vp_mqtt.local.ports import HOST

_COUNT = 50_000


def _connect(running: RunningBroker, topic: bytes = b"") -> socket.socket:
    """Open an MQTT connection through a plain socket, with a subscription to `topic`."""
    none = b"\x00" * running.v5
    link = socket.create_connection((HOST, running.port), timeout=WAIT_S)
    level, client = (b"\x05" if running.v5 else b"\x04"), os.urandom(4).hex().encode()
    body = b"\x00\x04MQTT" + level + b"\x02\x00\x3c" + none + b"\x00\x08" + client
    link.sendall(bytes([0x10, len(body)]) + body)
    link.recv(100)
    if topic:
        body = b"\x00\x01" + none + bytes([0, len(topic)]) + topic + b"\x00"
        link.sendall(bytes([0x82, len(body)]) + body)
        link.recv(100)
    return link


def _rate(running: RunningBroker, topic: bytes, members: int) -> Finding:
    """Send prepared packets through plain sockets, since paho is slower than a broker."""
    none = b"\x00" * running.v5
    packet = bytes([0x30, 3 + len(none) + len(VOTE)]) + b"\x00\x01t" + none + VOTE
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1 + members) as pool:
        links = [stack.enter_context(_connect(running, topic)) for _ in range(members)]
        sender = stack.enter_context(_connect(running))

        def read(link: socket.socket) -> tuple[int, float]:
            link.settimeout(QUIET_S * 2)
            size, last = 0, time.monotonic()
            with contextlib.suppress(TimeoutError):
                while part := len(link.recv(1 << 16)):
                    size, last = size + part, time.monotonic()
            return size // len(packet), last

        readers = [pool.submit(read, link) for link in links]
        began = time.monotonic()
        sender.sendall(packet * _COUNT)
        shares, ends = zip(*(reader.result() for reader in readers), strict=True)
    detail = f"{sum(shares)} of {_COUNT} at {sum(shares) / max(max(ends) - began, 1e-3):.0f}/s, shares {list(shares)}"
    return sum(shares) == _COUNT and min(shares) > 0, detail


def throughput(running: RunningBroker) -> Finding:
    """Messages of 40 B at QoS 0."""
    return _rate(running, b"t", 1)


def shared(running: RunningBroker) -> Finding:
    """The same, to two members of a shared subscription."""
    return _rate(running, b"$share/g/t", 2)
