"""`vp bench soak`: a site under random faults for a long time, and the resources that its processes use."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psutil

from benchmarks.testbed.recording import summarise
from benchmarks.testbed.site import CAMERA, MeasuredSite
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.local.ports import HOST

_SAMPLE_S = 1.0
_FAULT_EVERY_S = 8.0
_FAULT_LASTS_S = 3.0
_WARM_UP = 0.25
_FLAT_GROWTH = 0.05
_COUNTS = ("announced", "labelled", "without_votes", "lost", "late", "twice", "out_of_order")
# MQTT 5 CONNECT with client id "deaf", then SUBSCRIBE to "vp/#" with QoS 0; what arrives is never read.
_DEAF_SUBSCRIBER = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x04deaf" + b"\x82\x0a\x00\x01\x00\x00\x04vp/#\x00"


@dataclass(frozen=True)
class SoakSettings:
    """How a soak test runs.

    Attributes:
        minutes: duration, in minutes.
        cameras: cameras on the one fusion node.
        fps: frames per second of each camera.
        seed: random seed of the faults.
        has_faults: whether variants are frozen, or killed and restarted, at random.
        has_deaf_subscriber: whether a client subscribes to everything and never reads.
        bundle: name or folder of the family.
        deadline_ms: deadline of a window, in ms.
    """

    minutes: float
    cameras: int
    fps: float
    seed: int
    has_faults: bool
    has_deaf_subscriber: bool
    bundle: str
    deadline_ms: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Resource usage of one process at one time: resident memory in MB, threads, file descriptors."""

    rss_mb: float
    threads: int
    descriptors: int


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the relative growth of each quantity from the second quarter of a run to the last quarter.

    Args:
        samples: samples of one process, in the order of time, at least 4; the first quarter is warm-up.
    """
    quarter = int(len(samples) * _WARM_UP)
    first, last = samples[quarter : 2 * quarter], samples[-quarter:]
    grown = {}
    for name in ("rss_mb", "threads", "descriptors"):
        before = sum(getattr(sample, name) for sample in first) / len(first)
        after = sum(getattr(sample, name) for sample in last) / len(last)
        grown[name] = round(after / before - 1, 4)
    return grown


@dataclass(eq=False)
class _Samples:
    """Samples of every process of a site."""

    by_pid: dict[int, list[Sample]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def add(self, pids: dict[str, int]) -> None:
        for name, pid in pids.items():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                sample = Sample(process.memory_info().rss / 1e6, process.num_threads(), process.num_fds())
                self.by_pid.setdefault(pid, []).append(sample)
                self.names[pid] = name

    def growth(self) -> dict[str, dict[str, float]]:
        """Return the growth of the processes that ran for most of the time: a restarted one is a new process."""
        longest = max(len(samples) for samples in self.by_pid.values())
        return {
            self.names[pid]: growth(samples)
            for pid, samples in self.by_pid.items()
            if len(samples) > longest // 2 >= 2  # noqa: PLR2004 (enough for quarters)
        }


def run_soak(settings: SoakSettings) -> dict[str, Any]:
    """Run a site, and return what `vp bench soak --json` prints.

    Raises:
        UserError: the bundle is not usable, or a program is missing.
    """
    variants = range(len(open_bundle(settings.bundle).manifest.variants))
    cameras = [CAMERA, *(f"cam{number}" for number in range(1, settings.cameras))]
    with ExitStack() as stack:
        site = stack.enter_context(MeasuredSite(bundle=settings.bundle, deadline_ms=settings.deadline_ms))
        _start(site, settings, variants, cameras, stack)
        began_at = time.monotonic()
        samples, faults = _run(site, settings, variants)
        for camera in cameras:
            site.nodes.signal(camera, signal.SIGTERM)
        for camera in cameras:
            site.recorder.settle(camera, 5.0)
        summaries = [
            dataclasses.asdict(
                summarise(
                    site.recorder.recording(camera),
                    deadline=settings.deadline_ms / 1000,
                    fault_began_at=began_at,
                    fault_ended_at=None,
                )
            )
            for camera in cameras
        ]
        counters = {name: site.recorder.counts(name) for name in ("fusion", "v0", CAMERA)}
    grown = samples.growth()
    return {
        "minutes": settings.minutes,
        "cameras": settings.cameras,
        "fps": settings.fps,
        "faults": faults,
        **{key: sum(summary[key] for summary in summaries) for key in _COUNTS},
        "latency_ms_p99_worst_camera": max((summary["latency_ms_p99"] or 0.0) for summary in summaries),
        "growth": grown,
        "is_flat": all(value <= _FLAT_GROWTH for own in grown.values() for value in own.values()),
        "counters": counters,
    }


def _start(
    site: MeasuredSite, settings: SoakSettings, variants: Sequence[int], cameras: Sequence[str], stack: ExitStack
) -> None:
    site.start_fusion()
    for variant in variants:
        site.start_variant(variant)
    site.await_online("fusion", *(f"v{variant}" for variant in variants))
    if settings.has_deaf_subscriber:
        deaf = stack.enter_context(socket.create_connection((HOST, site.port)))
        deaf.sendall(_DEAF_SUBSCRIBER)
    for camera in cameras:
        site.start_camera(source="samples", fps=settings.fps, camera=camera)
    site.await_online(*cameras)


def _run(site: MeasuredSite, settings: SoakSettings, variants: Sequence[int]) -> tuple[_Samples, int]:
    """Let a site run under faults, and return samples of its processes and the number of faults."""
    samples, faults = _Samples(), 0
    random_faults = _RandomFaults(site, random.Random(settings.seed), list(variants))  # noqa: S311 (not for secrets)
    end_at = time.monotonic() + 60 * settings.minutes
    while time.monotonic() < end_at:
        site.recorder.until(lambda: False, _SAMPLE_S)
        if settings.has_faults:
            faults += random_faults.step(time.monotonic())
        samples.add(site.pids())
    random_faults.end()
    return samples, faults


class _RandomFaults:
    """Freezes or kills a variant now and then; variant 1 is left alone, so that one is always alive."""

    def __init__(self, site: MeasuredSite, rng: random.Random, variants: list[int]) -> None:
        self._site = site
        self._rng = rng
        self._variants = [variant for variant in variants if variant != 1]
        self._next_at = time.monotonic() + _FAULT_EVERY_S
        self._fault: tuple[float, str, int] | None = None

    def step(self, now: float) -> int:
        """Begin or end a fault if it is due; return the number of faults begun."""
        if self._fault is not None:
            if now >= self._fault[0]:
                self.end()
            return 0
        if now < self._next_at:
            return 0
        variant = self._rng.choice(self._variants)
        # Variants with odd indices are never killed: the memory of restarted processes says nothing.
        kind = "freeze" if variant % 2 else "kill"
        if kind == "kill":
            self._site.nodes.kill(f"v{variant}")
        else:
            self._site.nodes.signal(f"v{variant}", signal.SIGSTOP)
        self._fault = (now + _FAULT_LASTS_S, kind, variant)
        self._next_at = now + _FAULT_EVERY_S
        return 1

    def end(self) -> None:
        """End the present fault, if there is one."""
        if self._fault is None:
            return
        _, kind, variant = self._fault
        self._fault = None
        if kind == "kill":
            self._site.nodes.wait(f"v{variant}", _FAULT_LASTS_S)
            self._site.start_variant(variant)
        else:
            self._site.nodes.signal(f"v{variant}", signal.SIGCONT)
