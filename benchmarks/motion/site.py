"""What a still scene costs a whole site, with the motion gate and without, and how soon a change is published."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.motion.camera import StillCamera
from benchmarks.motion.scenes import Sensor, with_object
from benchmarks.testbed.site import CAMERA, SITE, MeasuredSite
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import Picture
from vp_mqtt.local.ports import HOST
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol.topics import Topics

_PICTURES, _CHANGED_PICTURES = 40, 10
_SETTLE_S = 8.0
_DEADLINE_MS = 1000.0
_NOISE, _QUALITY = 4.0, 90
_SIDE = 0.25
_CHANGE_WITHIN_S = 10.0
_BYTES = ("$SYS/broker/bytes/received", "$SYS/broker/bytes/sent")
SYS_INTERVAL_S = 1


@dataclass(frozen=True)
class SiteSettings:
    """What is measured.

    Attributes:
        bundle: the family: a folder, or the name of a bundled one.
        fps: frames per second of the camera.
        seconds: of each measurement.
        changes: how often the scene changes, to measure the delay.
    """

    bundle: str
    fps: float
    seconds: float
    changes: int


class Watcher:
    """Reads the broker's counters of bytes, and the camera's frames while a delay is measured."""

    def __init__(self, url: str) -> None:
        self._change = threading.Condition()
        self._bytes: dict[str, int] = {}
        self.frames: list[bytes] = []
        self._frame_topic = Topics(SITE).frame(CAMERA)
        self.session = Session(
            BrokerOptions(url=url),
            client_id="vp-bench-watcher",
            subscriptions=[(topic, 0) for topic in _BYTES],
            on_message=self._receive,
            on_end=lambda _: None,
        )
        self.session.start()

    def watch_frames(self) -> None:
        """Read the camera's frames from now on."""
        self.session.subscribe([self._frame_topic])

    def _receive(self, message: Received) -> None:
        with self._change:
            if message.topic == self._frame_topic:
                self.frames.append(message.payload)
            elif message.topic in _BYTES:
                self._bytes[message.topic] = int(message.payload)
            self._change.notify_all()

    def carried(self) -> int:
        """Return the bytes that the broker has received and sent so far."""
        with self._change:
            if not self._change.wait_for(lambda: len(self._bytes) == len(_BYTES), _CHANGE_WITHIN_S):
                raise UserError("the broker does not tell how many bytes it carries")
            return sum(self._bytes.values())

    def first_of(self, wanted: Callable[[bytes], bool]) -> bytes:
        """Wait for a frame."""
        with self._change:
            if not self._change.wait_for(lambda: any(map(wanted, self.frames)), _CHANGE_WITHIN_S):
                raise UserError(f"a change was not published within {_CHANGE_WITHIN_S:g} s")
            return next(filter(wanted, self.frames))


def processor_s(pids: dict[str, int]) -> dict[str, float]:
    """Return the processor time that processes have taken so far, in s, by name."""
    found = {}
    for name, pid in pids.items():
        times = psutil.Process(pid).cpu_times()
        found[name] = times.user + times.system
    return found


def measure_site(
    scene: Picture, things: Sequence[Picture], settings: SiteSettings, report: Callable[[str], None]
) -> dict[str, Any]:
    """Return processor time and bytes of a site without and with the gate, and the delays of changes in frames.

    Args:
        scene: what the camera looks at.
        things: what comes before it, one after the other.
        settings: what is measured.
        report: called with a line about each step.

    Raises:
        UserError: the bundle is not usable, Mosquitto is missing, or a node did not start.
    """
    sensor = Sensor(_NOISE, _QUALITY)
    still = [sensor.picture(scene) for _ in range(_PICTURES)]
    report("without the gate")
    without, _ = _run(still, [], settings, ())
    report("with the gate")
    random = sensor.random
    changed = [
        [sensor.picture(seen) for _ in range(_CHANGED_PICTURES)]
        for seen in (with_object(scene, things[n % len(things)], _SIDE, random) for n in range(settings.changes))
    ]
    with_gate, delays = _run(still, changed, settings, ("--motion-gate",))
    return {
        "frame_bytes": round(statistics.mean(map(len, still))),
        "off": without,
        "on": with_gate,
        "processor_saved": round(1 - with_gate["processor_share"] / without["processor_share"], 4),
        "bytes_saved": round(1 - with_gate["bytes_per_s"] / without["bytes_per_s"], 4),
        "delays_frames": delays,
    }


def _run(
    still: Sequence[bytes], changed: Sequence[Sequence[bytes]], settings: SiteSettings, gate: Sequence[str]
) -> tuple[dict[str, Any], list[int]]:
    variants = [variant.index for variant in open_bundle(settings.bundle).manifest.variants]
    camera = StillCamera(still, settings.fps)
    camera.start()
    try:
        with MeasuredSite(
            bundle=settings.bundle,
            deadline_ms=_DEADLINE_MS,
            stats_every=5.0,
            records=None,
            broker_extra=f"sys_interval {SYS_INTERVAL_S}",
        ) as site:
            site.start_fusion()
            for variant in variants:
                site.start_variant(variant)
            site.await_online("fusion", *(f"v{variant}" for variant in variants))
            arguments = ("--camera", CAMERA, "--source", camera.url, "--fps", f"{settings.fps:g}", *gate)
            site.start(CAMERA, "camera", *arguments)
            site.await_online(CAMERA)
            watcher = Watcher(site.url(HOST))
            try:
                time.sleep(_SETTLE_S)
                costs = _measure_costs(site, watcher, settings.seconds)
                delays = _measure_delays(camera, watcher, changed)
            finally:
                watcher.session.stop()
            return costs, delays
    finally:
        camera.stop()


def _measure_costs(site: MeasuredSite, watcher: Watcher, seconds: float) -> dict[str, Any]:
    before, bytes_before, began = processor_s(site.pids()), watcher.carried(), time.monotonic()
    time.sleep(seconds)
    after, bytes_after, took = processor_s(site.pids()), watcher.carried(), time.monotonic() - began
    shares = {name: (after[name] - before[name]) / took for name in before}
    variants = sum(share for name, share in shares.items() if name.startswith("v"))
    return {
        "processor_share": round(sum(shares.values()), 4),
        "camera": round(shares[CAMERA], 4),
        "variants": round(variants, 4),
        "fusion": round(shares["fusion"], 4),
        "broker": round(shares["broker"], 4),
        "bytes_per_s": round((bytes_after - bytes_before) / took),
    }


def _measure_delays(camera: StillCamera, watcher: Watcher, changed: Sequence[Sequence[bytes]]) -> list[int]:
    """Return how many frames with each change the camera had sent before the first one that was published."""
    if not changed:
        return []
    watcher.watch_frames()
    delays = []
    for pictures in changed:
        time.sleep(_SETTLE_S / 2)
        own = set(pictures)
        watcher.frames.clear()
        camera.show(pictures)
        delays.append(camera.sent[watcher.first_of(own.__contains__)])
    return delays
