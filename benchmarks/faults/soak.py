"""`vp bench soak`: a site under random faults for long, and what its processes need meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.testbed.recording import evaluate
from benchmarks.testbed.site import CAMERA, Rig
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.local.ports import HOST

_SAMPLE_S = 1.0
_FAULT_EVERY_S = 8.0
_FAULT_LASTS_S = 3.0
_WARM_UP = 0.25
_ALIKE = 0.05
# MQTT 5 CONNECT with client id "deaf", then SUBSCRIBE to "vp/#" with QoS 0; what comes is never read.
_DEAF = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x04deaf" + b"\x82\x0a\x00\x01\x00\x00\x04vp/#\x00"


@dataclass(frozen=True)
class SoakSettings:
    """How long, and how hard.

    Attributes:
        minutes: how long, in minutes.
        cameras: on the one fusion node.
        fps: frames per second of each camera.
        seed: of the random faults.
        has_faults: whether variants are frozen or killed and started again in mid-run.
        has_deaf_subscriber: whether somebody subscribes to everything and never reads.
        bundle: name or folder of the family.
        deadline_ms: of a window, in ms.
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
    """What one process needed at one time: memory in MB, threads, file descriptors."""

    rss_mb: float
    threads: int
    descriptors: int


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Return by how much each figure grew from the second quarter of a run to its last, as a share of the former.

    Args:
        samples: of one process, in the order of time, at least 4; the first quarter is warm-up.
    """
    quarter = int(len(samples) * _WARM_UP)
    first, last = samples[quarter : 2 * quarter], samples[-quarter:]
    told = {}
    for name in ("rss_mb", "threads", "descriptors"):
        before = sum(getattr(sample, name) for sample in first) / len(first)
        after = sum(getattr(sample, name) for sample in last) / len(last)
        told[name] = round(after / before - 1, 4)
    return told


def run_soak(settings: SoakSettings) -> dict[str, Any]:
    """Run a site, and return what became of its frames and processes.

    Raises:
        UserError: the bundle is not usable, or a program is missing.
    """
    try:
        import psutil  # noqa: PLC0415
    except ImportError:
        raise UserError("psutil is not installed: `pip install vp-mqtt[bench]`") from None
    variants = range(len(open_bundle(settings.bundle).manifest.variants))
    cameras = [CAMERA, *(f"cam{number}" for number in range(1, settings.cameras))]
    samples: dict[int, list[Sample]] = {}
    names: dict[int, str] = {}
    faults = 0
    with ExitStack() as stack:
        rig = stack.enter_context(Rig(bundle=settings.bundle, deadline_ms=settings.deadline_ms))
        rig.start_fusion()
        for variant in variants:
            rig.start_variant(variant)
        rig.await_online("fusion", *(f"v{variant}" for variant in variants))
        if settings.has_deaf_subscriber:
            deaf = stack.enter_context(socket.create_connection((HOST, rig.port)))
            deaf.sendall(_DEAF)
        for camera in cameras:
            rig.start_camera(source="samples", fps=settings.fps, camera=camera)
        rig.await_online(*cameras)
        started = time.monotonic()
        chaos = _Chaos(rig, random.Random(settings.seed), list(variants))  # noqa: S311 (dice, no secrets)
        while time.monotonic() < started + 60 * settings.minutes:
            rig.observer.until(lambda: False, _SAMPLE_S)
            if settings.has_faults:
                faults += chaos.step(time.monotonic())
            for name, pid in rig.pids().items():
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(pid)
                    sample = Sample(process.memory_info().rss / 1e6, process.num_threads(), process.num_fds())
                    samples.setdefault(pid, []).append(sample)
                    names[pid] = name
        chaos.end()
        for camera in cameras:
            rig.nodes.signal(camera, signal.SIGTERM)
        for camera in cameras:
            rig.observer.settle(camera, 5.0)
        figures = [
            dataclasses.asdict(
                evaluate(
                    rig.observer.seen(camera), deadline=settings.deadline_ms / 1000, fault_at=started, mended_at=None
                )
            )
            for camera in cameras
        ]
        counters = {name: rig.observer.counts(name) for name in ("fusion", "v0", CAMERA)}
    # Killed and started again, a process is a new one: those that ran for most of the time tell.
    longest = max(len(series) for series in samples.values())
    grown = {names[pid]: growth(series) for pid, series in samples.items() if len(series) > longest // 2 >= 2}  # noqa: PLR2004
    return {
        "minutes": settings.minutes,
        "cameras": settings.cameras,
        "fps": settings.fps,
        "faults": faults,
        **{key: sum(told[key] for told in figures) for key in ("announced", "labelled", "without_votes", "lost")},
        **{key: sum(told[key] for told in figures) for key in ("late", "twice", "out_of_order")},
        "latency_ms_p99_worst_camera": max((told["latency_ms_p99"] or 0.0) for told in figures),
        "growth": grown,
        "is_flat": all(value <= _ALIKE for told in grown.values() for value in told.values()),
        "counters": counters,
    }


class _Chaos:
    """Freezes and kills variants now and then; variant 1 is left alone, so that one always lives."""

    def __init__(self, rig: Rig, dice: random.Random, variants: list[int]) -> None:
        self._rig = rig
        self._dice = dice
        self._variants = [variant for variant in variants if variant != 1]
        self._next = time.monotonic() + _FAULT_EVERY_S
        self._mend: tuple[float, str, int] | None = None

    def step(self, now: float) -> int:
        """Make or mend a fault if it is time; return how many were made."""
        if self._mend is not None:
            if now >= self._mend[0]:
                self.end()
            return 0
        if now < self._next:
            return 0
        variant = self._dice.choice(self._variants)
        # Killed ones are new processes, whose memory tells nothing: half of the variants are frozen only.
        kind = "freeze" if variant % 2 else "kill"
        if kind == "kill":
            self._rig.nodes.kill(f"v{variant}")
        else:
            self._rig.nodes.signal(f"v{variant}", signal.SIGSTOP)
        self._mend = (now + _FAULT_LASTS_S, kind, variant)
        self._next = now + _FAULT_EVERY_S
        return 1

    def end(self) -> None:
        """Mend what is broken."""
        if self._mend is None:
            return
        _, kind, variant = self._mend
        self._mend = None
        if kind == "kill":
            self._rig.nodes.wait(f"v{variant}", _FAULT_LASTS_S)
            self._rig.start_variant(variant)
        else:
            self._rig.nodes.signal(f"v{variant}", signal.SIGCONT)
