"""What the simulated cameras and boards send, packet by packet, prepared before it is sent. Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.faults.flooder import publish
from benchmarks.scale.family import CLASSES, K
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.protocol.votes import encode, select

TICK_S = 0.002
"""What is due within this time is sent at once."""
VOTES_AFTER_S = 0.004
"""A vote follows its frame's announce after this time."""
_VOTES_PER_CLASS = 20
_AGREE = 0.85


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent.

    Attributes:
        site: the site's name.
        digest: the bundle's short digest, in hexadecimal.
        run: of the frames.
        cameras: how many announce frames.
        variants: how many vote on each frame.
        fps: frames per second of each camera.
        seconds: for how long.
        in_step: whether all cameras announce at the same time, or spread evenly.
    """

    site: str
    digest: str
    run: int
    cameras: int
    variants: int
    fps: float
    seconds: float
    in_step: bool = False

    @property
    def frames_per_camera(self) -> int:
        """How many frames each camera announces."""
        return max(1, round(self.fps * self.seconds))

    @property
    def votes_per_second(self) -> float:
        """The rate of all votes together."""
        return self.cameras * self.variants * self.fps

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


def statuses(traffic: Traffic) -> bytes:
    """Return the packets by which the boards say that they are online."""
    packets = []
    for variant in range(traffic.variants):
        status = {
            "state": "online",
            "node": f"board{variant}",
            "role": "variant",
            "version": "0",
            "host": "simulated",
            "client_id": f"board{variant}",
            "instance": f"{variant:08x}",
            "started": 1.0,
            "variant": variant,
            "bundle": "scale",
            "digest": traffic.digest,
            "stats_every_s": 3600.0,
        }
        packets.append(publish(Topics(traffic.site).status(f"board{variant}"), json.dumps(status).encode()))
    return b"".join(packets)


def _votes(digest: bytes) -> list[list[bytes]]:
    """Return encoded votes by the frame's true class; most of them agree with it."""
    rng = np.random.default_rng(1)
    by_class = []
    for true in range(CLASSES):
        encoded = []
        for _ in range(_VOTES_PER_CLASS):
            first = true if rng.random() < _AGREE else int(rng.integers(CLASSES))
            rest = rng.dirichlet(np.full(CLASSES, 0.5))
            own = rng.uniform(0.4, 0.95)
            probabilities = (1 - own) * rest
            probabilities[first] += own
            encoded.append(encode(select(probabilities, K, digest)))
        by_class.append(encoded)
    return by_class


def _head(topic: str, payload_bytes: int) -> bytes:
    """Return the beginning of a packet, up to its frame id."""
    frame_id_bytes = len(FrameId(0, 0).encode())
    packet = publish(topic, bytes(payload_bytes), bytes(frame_id_bytes))
    return packet[: len(packet) - payload_bytes - frame_id_bytes]


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent at one time.

    Attributes:
        at: when, in s after the beginning.
        announces: the packets of all cameras.
        votes: the packets of each board.
    """

    at: float
    announces: bytes
    votes: list[bytes]


def batches(traffic: Traffic) -> Iterator[Batch]:
    """Yield what is sent, in the order of its time."""
    topics = Topics(traffic.site)
    pools = _votes(bytes.fromhex(traffic.digest))
    vote_bytes = len(pools[0][0])
    names = [f"cam{camera}" for camera in range(traffic.cameras)]
    heads = [[_head(topics.vote(name, v), vote_bytes) for name in names] for v in range(traffic.variants)]
    announced: dict[int, list[bytes]] = {}
    voted: dict[int, list[list[bytes]]] = {}
    for sequence in range(traffic.frames_per_camera):
        for camera, name in enumerate(names):
            phase = 0.0 if traffic.in_step else camera / traffic.cameras
            due = (sequence + phase) / traffic.fps
            frame = struct.pack(">II", traffic.run, sequence)
            payload = b'{"frame":"%08x-%d","captured":1.0}' % (traffic.run, sequence)
            announced.setdefault(int(due / TICK_S), []).append(publish(topics.announce(name), payload))
            own = voted.setdefault(int((due + VOTES_AFTER_S) / TICK_S), [[] for _ in range(traffic.variants)])
            pool = pools[(sequence + camera) % CLASSES]
            for variant, packets in enumerate(own):
                vote = pool[(7 * variant + sequence + camera) % len(pool)]
                packets.extend((heads[variant][camera], frame, vote))
    nobody: list[list[bytes]] = [[] for _ in range(traffic.variants)]
    for tick in sorted(announced.keys() | voted.keys()):
        votes = [b"".join(packets) for packets in voted.get(tick, nobody)]
        yield Batch(tick * TICK_S, b"".join(announced.get(tick, ())), votes)
