"""Simulated cameras and boards, and what becomes of their frames (`python -m benchmarks.scale.load PORT TRAFFIC`).

They write prepared packets to sockets: an MQTT library would be slower than the node that is measured. The process
prints "begin" and "end" around the time that counts, and a JSON object with what it saw.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

from benchmarks.scale.traffic import Traffic, batches, statuses
from vp_mqtt.local.ports import HOST
from vp_mqtt.mqtt import publish_packet
from vp_mqtt.mqtt.properties import variable_integer
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import ANY, Topics
from vp_mqtt.site.timing import quantiles

_CHUNK = 1 << 18
_SETTLE_S = 0.3
_LAST_LABELS_S = 1.0
WARM_UP = 0.2
"""Share of the time that does not count."""
_CONNACK = 0x20
_PUBLISH = 0x30


def connect(port: int, name: str) -> socket.socket:
    """Return an MQTT 5 connection.

    Raises:
        OSError: the broker does not accept it.
    """
    link = socket.create_connection((HOST, port), 10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = b"\x00\x04MQTT\x05\x02\x00\x00\x00" + len(name).to_bytes(2) + name.encode()
    link.sendall(b"\x10" + bytes([len(body)]) + body)
    answer = link.recv(100)
    if answer[:1] != bytes([_CONNACK]):
        raise ConnectionError("the broker does not accept the connection")
    return link


class LabelReader:
    """Keeps what arrives on the labels' topic, with the time, and looks at it afterwards."""

    def __init__(self, port: int, site: str) -> None:
        """Subscribe."""
        self._link = connect(port, "scale-labels")
        topic = Topics(site).label(ANY).encode()
        body = b"\x00\x01\x00" + len(topic).to_bytes(2) + topic + b"\x00"
        self._link.sendall(b"\x82" + bytes([len(body)]) + body)
        self._link.settimeout(None)
        self._chunks: list[tuple[float, bytes]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while chunk := self._link.recv(_CHUNK):
            self._chunks.append((time.monotonic(), chunk))

    def labels(self) -> list[tuple[float, dict[str, Any]]]:
        """End, and return the labels, with the time of their arrival."""
        self._link.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        found = []
        data = bytearray()
        for at, chunk in self._chunks:
            data += chunk
            begin = 0
            while len(data) - begin >= 5:  # noqa: PLR2004 (the longest start of a packet)
                length, start = variable_integer(data, begin + 1)
                if len(data) < start + length:
                    break
                if data[begin] & 0xF0 == _PUBLISH:
                    packet = publish_packet.parse(data[begin], data[start : start + length])
                    found.append((at, json.loads(packet.payload)))
                begin = start + length
            del data[:begin]
        return found


def _send(port: int, traffic: Traffic, stack: ExitStack) -> tuple[float, float]:
    """Send everything; return when that began, on the monotonic clock, and how late it was at most, in s."""
    cameras = stack.enter_context(connect(port, "scale-cameras"))
    boards = [stack.enter_context(connect(port, f"scale-board{v}")) for v in range(traffic.variants)]
    prepared = list(batches(traffic))
    cameras.sendall(statuses(traffic))
    time.sleep(_SETTLE_S)
    began = time.monotonic()
    warm = began + WARM_UP * traffic.seconds
    delay = 0.0
    is_warm = False
    for batch in prepared:
        now = time.monotonic()
        if now < began + batch.at:
            time.sleep(began + batch.at - now)
        else:
            delay = max(delay, now - began - batch.at)
        if not is_warm and now >= warm:
            is_warm = True
            print("begin", flush=True)
        if batch.announces:
            cameras.sendall(batch.announces)
        for board, packets in zip(boards, batch.votes, strict=True):
            if packets:
                board.sendall(packets)
    print("end", flush=True)
    return began, delay


def summary(traffic: Traffic, labels: list[tuple[float, dict[str, Any]]], began: float, delay: float) -> dict[str, Any]:
    """Return what became of the frames, those of the warm-up left out of the times."""
    first = WARM_UP * traffic.frames_per_camera
    seen: set[tuple[str, str]] = set()
    window, response, closed_by = [], [], Counter[str]()
    for at, label in labels:
        frame = FrameId.parse(label["frame"])
        if frame.run != traffic.run:
            continue
        seen.add((label["camera"], label["frame"]))
        if frame.sequence < first:
            continue
        closed_by[label["closed_by"]] += 1
        phase = 0.0 if traffic.in_step else int(label["camera"][3:]) / traffic.cameras
        window.append(label["latency_ms"])
        response.append((at - began - (frame.sequence + phase) / traffic.fps) * 1000)
    frames = traffic.cameras * traffic.frames_per_camera
    return {
        "frames": frames,
        "labels_lost": frames - len(seen),
        "closed_by": dict(closed_by),
        "window_ms": quantiles(window) if window else None,
        "response_ms": quantiles(response) if response else None,
        "load_behind_ms": round(delay * 1000, 1),
    }


def main() -> None:
    """Send the traffic, and print what became of it."""
    port, traffic = int(sys.argv[1]), Traffic(**json.loads(sys.argv[2]))
    reader = LabelReader(port, traffic.site)
    with ExitStack() as stack:
        began, delay = _send(port, traffic, stack)
        time.sleep(_LAST_LABELS_S)
    print(json.dumps(summary(traffic, reader.labels(), began, delay)))


if __name__ == "__main__":
    main()
