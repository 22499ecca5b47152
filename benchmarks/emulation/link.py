"""A bad link between two network interfaces, as a process: `python -m benchmarks.emulation.link A B`.

Linux has `tc netem` for this, but many small kernels are built without it. This process forwards Ethernet frames
between the far ends of two veth pairs through packet sockets, so that TCP itself experiences loss and delay. It needs
root, reads impairments as JSON lines from standard input, and ends when that is closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import socket
import sys
import time

from benchmarks.emulation.impairment import Direction, Impairment

_ALL_PROTOCOLS = 3
_OUTGOING = 4
_PACKET_BYTES = 65_536


def _packet_socket(interface: str) -> socket.socket:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    link.bind((interface, 0))
    link.setblocking(False)
    return link


def _drain(source: socket.socket, direction: Direction) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            packet, address = source.recvfrom(_PACKET_BYTES)
            # The socket also receives what it sends itself.
            if address[2] != _OUTGOING:
                direction.put(packet, time.monotonic())


def _forward(target: socket.socket, direction: Direction) -> None:
    for packet in direction.take(time.monotonic()):
        # The interface is down or its buffer is full: a bad link loses packets.
        with contextlib.suppress(OSError):
            target.send(packet)


def main(first: str, second: str) -> None:
    """Forward between two interfaces until standard input ends."""
    ends = (_packet_socket(first), _packet_socket(second))
    ways = (Direction(random.Random(1)), Direction(random.Random(2)))  # noqa: S311 (not for secrets)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        dues = [due for way in ways if (due := way.next_due()) is not None]
        wait = max(0.0, min(dues) - time.monotonic()) if dues else None
        watched: list[socket.socket | int] = [*ends, 0]
        ready, _, _ = select.select(watched, [], [], wait)
        if 0 in ready:
            lines = os.read(0, _PACKET_BYTES).splitlines()
            if not lines:
                return
            impairment = Impairment(**json.loads(lines[-1]))
            for way in ways:
                way.impairment = impairment
        for source, way, target in zip(ends, ways, reversed(ends), strict=True):
            _drain(source, way)
            _forward(target, way)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
