"""A client that floods a site with valid-looking messages of one kind (`python -m benchmarks.faults.flooder --help`).

It writes packets to the socket as they are, many at a time: an MQTT library would be slower than the nodes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import struct
import time
from collections.abc import Callable

import numpy as np

from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.local.ports import HOST
from vp_mqtt.mqtt.properties import encode_length
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Topics

KINDS = ("votes", "announces", "frames", "statuses", "cameras", "nodes", "lies", "jumps")
_BATCH = 50
_NAMES = 60_000
_CORRELATION_DATA = 9
_HIGH_SEQUENCE = 2**32 - 10_000
_CONNECT = b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x05flood"


def publish(topic: str, payload: bytes, correlation: bytes | None = None) -> bytes:
    """Return a PUBLISH packet with QoS 0 (MQTT 5.0, section 3.3)."""
    properties = b"" if correlation is None else struct.pack(">BH", _CORRELATION_DATA, len(correlation)) + correlation
    body = struct.pack(">H", len(topic)) + topic.encode() + encode_length(len(properties)) + properties + payload
    return b"\x30" + encode_length(len(body)) + body


def _status(node: str, number: int, digest: str, state: str = "online") -> bytes:
    return json.dumps(
        {
            "state": state,
            "node": node,
            "role": "variant",
            "version": "0",
            "host": "h",
            "client_id": "c",
            "instance": f"{number:08x}",
            # Later than any node's.
            "started": 1e11,
            "variant": number % 6,
            "bundle": "b",
            "digest": digest,
        }
    ).encode()


def packets(kind: str, site: str, digest: str, run: int) -> Callable[[int], bytes]:
    """Return a function from a running number to a packet of this kind.

    Args:
        kind: one of `KINDS`.
        site: the site's name.
        digest: the bundle's short digest, in hexadecimal.
        run: of the frames.
    """
    topics = Topics(site)
    picture = encode_jpeg(np.full((28, 28, 3), 128, np.uint8), 90)
    vote = b"\x01\x01" + bytes.fromhex(digest) + b"\x00\x00" + struct.pack(">HH", 0, 65_535)

    def announce(camera: str, sequence: int) -> bytes:
        frame = FrameId(run, sequence)
        return publish(topics.announce(camera), json.dumps({"frame": str(frame), "captured": 1.0}).encode())

    makers: dict[str, Callable[[int], bytes]] = {
        "votes": lambda n: publish(topics.vote("evil", 0), vote, FrameId(run, (_HIGH_SEQUENCE + n) % 2**32).encode()),
        "announces": lambda n: announce("evil", n),
        "frames": lambda n: publish(topics.frame("evil"), picture, FrameId(run, n).encode()),
        "statuses": lambda n: publish(topics.status("evil"), _status("evil", n // 6 * 6, digest)),
        "cameras": lambda n: announce(f"evil{n % _NAMES}", 0),
        "nodes": lambda n: publish(topics.status(f"evil{n % _NAMES}"), _status(f"evil{n % _NAMES}", n, digest)),
        "lies": lambda n: publish(topics.status(f"v{n % 6}"), _status(f"v{n % 6}", n, digest, "offline")),
        "jumps": lambda n: announce("cam0", _HIGH_SEQUENCE + n),
    }
    return makers[kind]


def main() -> None:
    """Flood until killed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("site")
    parser.add_argument("digest")
    parser.add_argument("run", type=int)
    parser.add_argument("--rate", type=float, required=True, help="messages per second")
    options = parser.parse_args()
    make = packets(options.kind, options.site, options.digest, options.run)
    with socket.create_connection((HOST, options.port)) as link:
        link.sendall(_CONNECT)
        link.recv(100)
        began = time.monotonic()
        batch = max(1, min(_BATCH, int(options.rate / 20)))
        for start in itertools.count(0, batch):
            link.sendall(b"".join(make(number) for number in range(start, start + batch)))
            time.sleep(max(0.0, began + (start + batch) / options.rate - time.monotonic()))


if __name__ == "__main__":
    main()
