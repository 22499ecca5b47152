"""The minimum that a variant node does: the far end of the lower bound that `vp bench latency` measures.

Runs as a process of its own, with bare paho and one thread: `python -m benchmarks.latency.minimal_node PORT BUNDLE
RUNTIME VARIANT ..`. It answers a frame on one topic at once, with as many bytes as a vote has. A frame on the
other it decodes, prepares and runs through each variant's model in turn, and answers with the time of each step.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

import cv2
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.inference import pictures, runtimes
from vp_mqtt.local.guard import end_with_parent
from vp_mqtt.local.ports import HOST
from vp_mqtt.protocol.votes import HEADER_BYTES, PAIR_BYTES

FRAME, VOTE, WORK, TIMES, LABEL, READY = (f"floor/{name}" for name in ("frame", "vote", "work", "times", "label", "up"))
STEPS = 3
"""Times in an answer for each variant: JPEG decode, resize to the model's input, model; float64, in ms."""


def minimal_client(client_id: str) -> mqtt.Client:
    """Return an MQTT 5 client without Nagle's algorithm, like a node's session, and with nothing else."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)

    def no_delay(_client: mqtt.Client, _data: object, sock: mqtt.SocketLike) -> None:
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_socket_open = no_delay
    return client


def encode_times(times: list[float]) -> bytes:
    """Encode times, in ms, as 8 bytes each."""
    return struct.pack(f">{len(times)}d", *times)


def decode_times(data: bytes) -> list[float]:
    """Return the times, in ms, that `encode_times` encoded."""
    return list(struct.unpack(f">{len(data) // 8}d", data))


class _TimedWorker:
    """Decodes, prepares and predicts, and times each step."""

    def __init__(self, bundle: Bundle, runtime: str, variants: list[int]) -> None:
        cv2.setNumThreads(1)
        self._preprocessing = bundle.manifest.preprocessing
        self._models = []
        for variant in variants:
            resolution = bundle.variant(variant).resolution
            predict = runtimes.load(
                runtime,
                bundle.model_bytes(variant),
                resolution=resolution,
                classes=len(bundle.manifest.classes),
                threads=1,
            )
            self._models.append((resolution, predict))

    def work(self, jpeg: bytes) -> list[float]:
        times = []
        for resolution, predict in self._models:
            marks = [time.perf_counter()]
            picture = pictures.decode(jpeg, self._preprocessing.side(resolution), version=self._preprocessing.version)
            marks.append(time.perf_counter())
            batch = pictures.prepare(picture, resolution, self._preprocessing)
            marks.append(time.perf_counter())
            predict(batch)
            marks.append(time.perf_counter())
            times += [(marks[step + 1] - marks[step]) * 1000 for step in range(STEPS)]
        return times


def main() -> None:
    """Answer until the parent process ends."""
    end_with_parent()
    port, bundle_name, runtime, *variants = sys.argv[1:]
    bundle = open_bundle(bundle_name)
    worker = _TimedWorker(bundle, runtime, [int(variant) for variant in variants])
    vote = bytes(HEADER_BYTES + PAIR_BYTES * bundle.manifest.k)
    client = minimal_client("minimal-node")

    def answer(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == FRAME:
            client.publish(VOTE, vote)
        else:
            client.publish(TIMES, encode_times(worker.work(bytes(message.payload))))

    client.on_message = answer
    client.on_connect = lambda client, *_: client.subscribe([(FRAME, 0), (WORK, 0)])
    client.on_subscribe = lambda client, *_: client.publish(READY, b"", retain=True)
    client.connect(HOST, int(port))
    client.loop_forever()


if __name__ == "__main__":
    main()
