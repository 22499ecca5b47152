"""Response time from capture to label, with real nodes on a real Mosquitto, beside its lower bound."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.emulation.cpu_affinity import Placement, on_core, place
from benchmarks.latency.lower_bound import LowerBound
from benchmarks.testbed.site import CAMERA, SITE, MeasuredSite
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import Picture, encode_jpeg
from vp_mqtt.local.ports import HOST
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.nodes.sources import open_source
from vp_mqtt.plain_text import counted
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.site.machine import usable_cores
from vp_mqtt.site.synthetic_photos import synthetic_photo
from vp_mqtt.site.timing import quantiles

_PICTURES = 8
_WARM_UP = 20
_SETTLE_S = 2.0
_END_S = 30.0
_STATS_EVERY_S = 5.0
_DEADLINE_MS = 1000.0


@dataclass(frozen=True)
class EndToEndSettings:
    """What is measured.

    Attributes:
        bundle: the family: a folder, or the name of a bundled one.
        runtime: runtime of every variant node.
        frames: frames with one variant alive, and again with all of them, at least 3.
        fps: frames per second.
        size: width and height of the frames, in pixels.
        source: what the camera plays, as vp-camera --source; None: synthetic pictures.
        passes_through: whether the camera gets JPEGs and passes them through, as with a webcam's motion JPEG, or
            encodes every frame.
    """

    bundle: str
    runtime: str
    frames: int
    fps: float
    size: tuple[int, int]
    source: str | None = None
    passes_through: bool = True


@dataclass(frozen=True)
class LabelTimes:
    """The labels of one run.

    Attributes:
        alive: variants alive.
        frames: frames published.
        labels: label messages that arrived.
        times: from capture to the arrival of each label at a third client, in ms.
        closed_by: how often each reason closed a window.
        incomplete: labels without a vote of some variant that was alive.
        label_bytes: size of the first label message's payload.
    """

    alive: tuple[int, ...]
    frames: int
    labels: int
    times: tuple[float, ...]
    closed_by: Counter[str]
    incomplete: int
    label_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "alive": list(self.alive),
            "frames": self.frames,
            "labels": self.labels,
            "incomplete": self.incomplete,
            "closed_by": dict(self.closed_by),
            **{f"{name}_ms": value for name, value in quantiles(self.times).items()},
        }


def summarise(labels: Sequence[tuple[LabelMessage, float]], *, alive: Sequence[int], frames: int) -> LabelTimes:
    """Summarise the labels of a run; the first few frames are warm-up and do not count.

    Args:
        labels: each label, with the time of its arrival, in s since 1970 on the camera's clock.
        alive: variants alive.
        frames: frames published, warm-up included.

    Raises:
        UserError: no label arrived.
    """
    counted = [(label, at) for label, at in labels if FrameId.parse(label.frame).sequence >= min(_WARM_UP, frames - 1)]
    if not counted:
        raise UserError("no label arrived; is this machine busy?")
    return LabelTimes(
        alive=tuple(alive),
        frames=frames - min(_WARM_UP, frames - 1),
        labels=len(counted),
        times=tuple((at - label.captured) * 1000 for label, at in counted),
        closed_by=Counter(str(label.closed_by) for label, _ in counted),
        incomplete=sum(not set(alive) <= set(label.voted) for label, _ in counted),
        label_bytes=len(counted[0][0].encode()),
    )


def measure(settings: EndToEndSettings, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure, and return what `vp bench latency --json` prints as "end_to_end".

    The most expensive variant runs alone first, then all of them. The lower bound is measured before, between and
    after.

    Args:
        settings: what to measure.
        report: called with a line about each step.

    Raises:
        UserError: bundle or source are not usable, Mosquitto is missing, or a node did not start.
    """
    bundle = open_bundle(settings.bundle)
    costs = {v.index: float(v.resolution**2) * v.alpha for v in bundle.manifest.variants}
    placement = place(usable_cores(), costs)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vp-bench-")))
        frames = _load_frames(settings)
        quality = int(CameraSettings.model_fields["quality"].default)
        jpegs = [encode_jpeg(frame, quality) for frame in frames]
        for number, (picture, jpeg) in enumerate(zip(frames, jpegs, strict=True)):
            if settings.passes_through:
                (folder / f"{number}.jpg").write_bytes(jpeg)
            else:
                cv2.imwrite(str(folder / f"{number}.png"), picture)
        stack.enter_context(on_core(placement.site))
        site = MeasuredSite(bundle=settings.bundle, deadline_ms=_DEADLINE_MS, stats_every=_STATS_EVERY_S, records=None)
        run = _Run(stack.enter_context(site), settings, placement, folder)
        stack.callback(run.close)
        found = run.measure(bundle, jpegs if settings.passes_through else frames, quality, report)
    return {**found, "jpeg_bytes": round(float(np.mean([len(jpeg) for jpeg in jpegs])))}


def _load_frames(settings: EndToEndSettings) -> list[Picture]:
    if settings.source is None:
        return [synthetic_photo(*settings.size, seed) for seed in range(_PICTURES)]
    source = open_source(settings.source)
    try:
        found = [captured.picture for captured in islice(source.captures(), _PICTURES)]
    finally:
        source.close()
    return [np.asarray(cv2.resize(one, settings.size, interpolation=cv2.INTER_AREA), dtype=np.uint8) for one in found]


class _Run:
    """Labels frames with some of the variants alive, and measures the lower bound in between."""

    def __init__(self, site: MeasuredSite, settings: EndToEndSettings, placement: Placement, folder: Path) -> None:
        self._site = site
        self._settings = settings
        self._placement = placement
        self._folder = folder
        self._arrived: list[Received] = []
        # A connection of its own, for labels only: the measurement must not slow down what it measures.
        self._labels = Session(
            BrokerOptions(url=site.url(HOST)),
            client_id="vp-bench-labels",
            subscriptions=[(Topics(SITE).label(CAMERA), 0)],
            on_message=self._arrived.append,
            on_end=lambda _: None,
        )
        self._labels.start()

    def close(self) -> None:
        self._labels.stop()

    def measure(
        self, bundle: Bundle, frames: list[Picture] | list[bytes], quality: int, report: Callable[[str], None]
    ) -> dict[str, Any]:
        settings, placement = self._settings, self._placement
        every = list(placement.variants)
        one = max(every, key=lambda v: (bundle.variant(v).resolution ** 2 * bundle.variant(v).alpha, v))
        others = [variant for variant in every if variant != one]
        with LowerBound(
            port=self._site.port,
            bundle=settings.bundle,
            runtime=settings.runtime,
            variants=[one, *others],
            core=placement.variants[one],
            log=self._folder / "minimal-node.log",
        ) as bound:

            def measure_bound() -> None:
                report("lower bound: bare clients, decode, resize and model alone")
                bound.measure(
                    frames,
                    quality=quality,
                    count=max(1, settings.frames // 3),
                    fps=settings.fps,
                    label_bytes=label_bytes,
                )

            self._site.start_fusion()
            self._start_variants([one])
            label_bytes = self._label_frames([one], 1).label_bytes
            measure_bound()
            report(f"variant {one} alone, {settings.frames} frames")
            alone = self._label_frames([one], settings.frames)
            measure_bound()
            self._start_variants(others)
            report(f"{counted(len(every), 'variant')} together, {settings.frames} frames")
            together = self._label_frames(every, settings.frames)
            measure_bound()
        return self._summary(bound, one, alone, together)

    def _summary(self, bound: LowerBound, one: int, alone: LabelTimes, together: LabelTimes) -> dict[str, Any]:
        settings, placement = self._settings, self._placement
        times = bound.times
        medians = {v: float(np.median([sum(steps) for steps in own])) for v, own in times.steps.items()}
        hops = float(np.median(times.hops))
        least, whole = quantiles(times.sums(one)), times.as_dict(one)["with_label_hop_ms"]
        own, all_variants = quantiles(alone.times), quantiles(together.times)
        return {
            "bundle": settings.bundle if settings.source is not None else Path(settings.bundle).name,
            "runtime": settings.runtime,
            "fps": settings.fps,
            "size": list(settings.size),
            "camera": "jpeg" if settings.passes_through else "encode",
            "label_bytes": alone.label_bytes,
            "cores": {"site": placement.site, "variants": {str(v): core for v, core in placement.variants.items()}},
            "one": alone.as_dict(),
            "all": together.as_dict(),
            "floor": times.as_dict(one),
            "ratio_p50": round(own["p50"] / least["p50"], 2),
            "ratio_p99": round(own["p99"] / least["p99"], 2),
            "ratio_p99_to_floor_p50": round(own["p99"] / least["p50"], 2),
            "ratio_p50_with_label_hop": round(own["p50"] / whole["p50"], 2),
            "all_to_one_p50": round(all_variants["p50"] / own["p50"], 2),
            "all_to_one_p99": round(all_variants["p99"] / own["p99"], 2),
            # Variants that share a core take turns; with a core each, "floor" would apply to all of them together.
            "floor_all_on_these_cores_ms": round(hops + placement.busiest(medians), 3),
        }

    def _start_variants(self, variants: Sequence[int]) -> None:
        for variant in variants:
            with on_core(self._placement.variants[variant]):
                self._site.start_variant(variant, environment={"VP_RUNTIME": self._settings.runtime})
        self._site.await_online("fusion", *(f"v{variant}" for variant in variants))

    def _label_frames(self, alive: Sequence[int], frames: int) -> LabelTimes:
        count = frames + _WARM_UP
        self._arrived.clear()
        self._site.start_camera(source=str(self._folder), fps=self._settings.fps, frames=count)
        try:
            self._site.nodes.wait(CAMERA, count / self._settings.fps + _END_S)
        except subprocess.TimeoutExpired:
            raise UserError(f"the camera did not end within {_END_S:g} s of its last frame") from None
        if (failure := self._site.nodes.failed()) is not None:
            raise UserError(failure)
        until = time.monotonic() + _SETTLE_S
        while len(self._arrived) < count and time.monotonic() < until:
            time.sleep(0.05)
        # All clocks are this machine's: the capture time is on the wall clock, the arrival on the monotonic clock.
        offset = time.time() - time.monotonic()
        return summarise(list(_decoded(self._arrived, offset)), alive=alive, frames=count)


def _decoded(messages: Sequence[Received], offset: float) -> Iterator[tuple[LabelMessage, float]]:
    for message in messages:
        yield LabelMessage.decode(message.payload), message.at + offset
