"""A site that is not there: frames, announces, votes, labels, statuses and stats as nodes would publish them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator

import numpy as np

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol import votes
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, LabelMessage, State, StatsMessage, StatusMessage
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.protocol.votes import Vote

SITE = "bench"
_BUNDLE = "fashion-mnist"
_PICTURES = 8
_SIZE = (480, 640, 3)
_STATS_EVERY_S = 5.0
# Every so many frames another class is shown.
_HOLD_FRAMES = 30


class Traffic:
    """Publishes what a site of cameras and boards would; the broker carries it as it would theirs."""

    def __init__(self, url: str, *, cameras: int, boards: int, fps: float) -> None:
        """Prepare, without connecting.

        Args:
            url: of the broker.
            cameras: that publish frames.
            boards: that vote on each.
            fps: frames per second of each camera.
        """
        manifest = open_bundle(_BUNDLE).manifest
        self._digest, self._classes = manifest.short_digest, manifest.classes
        self._topics = Topics(SITE)
        self._cameras, self._boards, self._fps = cameras, boards, fps
        self._pictures = [picture(number) for number in range(_PICTURES)]
        self._session = Session(BrokerOptions(url=url), client_id="page-load")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.frames = 0

    @property
    def frame_bytes(self) -> int:
        """Mean size of a frame."""
        return sum(map(len, self._pictures)) // len(self._pictures)

    def start(self) -> None:
        """Connect, and publish in the background.

        Raises:
            UserError: the broker is not there.
        """
        self._session.start()
        self._session.wait_until_connected(10)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()
        self._session.stop()

    def _run(self) -> None:
        began = time.monotonic()
        for status in self._statuses():
            self._session.publish(status)
        stats_at = began
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= stats_at:
                stats_at += _STATS_EVERY_S
                for stats in self._stats(now - began):
                    self._session.publish(stats)
            camera = self.frames % self._cameras
            for message in self._frame(f"cam{camera}", self.frames // self._cameras):
                self._session.publish(message)
            self.frames += 1
            due = began + self.frames / (self._fps * self._cameras)
            self._stopping.wait(max(0.0, due - time.monotonic()))

    def _frame(self, camera: str, number: int) -> Iterator[Outgoing]:
        frame = FrameId(1, number)
        its = frame.encode()
        jpeg = self._pictures[number % _PICTURES]
        yield Outgoing(self._topics.frame(camera), jpeg, content_type="image/jpeg", expiry_s=2, correlation=its)
        announce = AnnounceMessage.of(Announce(frame, time.time(), None))
        yield Outgoing(self._topics.announce(camera), announce.encode(), correlation=its)
        shown = number // _HOLD_FRAMES % len(self._classes)
        for board in range(self._boards):
            # One board in eight is of another opinion.
            voted = (shown + (board == number % 8)) % len(self._classes)
            others = [(voted + 1) % len(self._classes), (voted + 2) % len(self._classes)]
            vote = Vote((voted, *others), (0.75, 0.125, 0.0625), self._digest, 3.0)
            yield Outgoing(self._topics.vote(camera, board), votes.encode(vote), correlation=its)
        yield Outgoing(self._topics.label(camera), self._label(camera, frame, shown).encode(), correlation=its)

    def _label(self, camera: str, frame: FrameId, shown: int) -> LabelMessage:
        boards = tuple(range(self._boards))
        return LabelMessage(
            camera=camera,
            frame=str(frame),
            label=self._classes[shown],
            class_index=shown,
            confidence=0.9,
            score=0.8,
            voted=boards,
            missing=(),
            alive=boards,
            closed_by=ClosedBy.COMPLETE,
            latency_ms=4.0,
            captured=time.time(),
            valid_for_s=5.0,
            bundle=_BUNDLE,
            digest=self._digest.hex(),
        )

    def _nodes(self) -> Iterator[tuple[str, dict[str, object]]]:
        yield "fusion", {"role": "fusion", "deadline_ms": 250.0}
        for number in range(self._cameras):
            yield f"camera-{number}", {"role": "camera", "camera": f"cam{number}"}
        for number in range(self._boards):
            yield f"board-{number}", {"role": "variant", "variant": number, "digest": self._digest.hex()}

    def _statuses(self) -> Iterator[Outgoing]:
        for name, more in self._nodes():
            known = {"node": name, "version": "1", "host": name, "client_id": name, "instance": "00000001", **more}
            status = StatusMessage(state=State.ONLINE, started=time.time(), bundle=_BUNDLE, **known)  # type: ignore[arg-type]
            yield Outgoing(self._topics.status(name), status.encode(), qos=1, retain=True)

    def _stats(self, uptime: float) -> Iterator[Outgoing]:
        for name, _ in self._nodes():
            stats = StatsMessage(node=name, uptime_s=uptime, counts={"frames": self.frames}, rss_mb=90.0)
            yield Outgoing(self._topics.stats(name), stats.encode())


def picture(number: int) -> bytes:
    """Return a JPEG of 640 x 480 that is about as large as a photograph."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[: _SIZE[0], : _SIZE[1]]
    waves = [np.sin(rows / (20 + 9 * c) + number) + np.cos(columns / (30 + 7 * c) - number) for c in range(_SIZE[2])]
    smooth = 128 + 50 * np.stack(waves, axis=-1)
    noisy = smooth + random.normal(0, math.sqrt(60), _SIZE)
    return encode_jpeg(np.clip(noisy, 0, 255).astype(np.uint8), 80)
