"""What a board needs: disk, memory, threads, time to start, and bytes on the wire."""

from __future__ import annotations

import json
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.footprint.install_size import OUR_NAME, install_sizes
from benchmarks.footprint.packet_sizes import PacketListener
from benchmarks.footprint.processes import has_mapped, usage_of
from benchmarks.testbed.site import CAMERA, SITE, MeasuredSite
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.topics import Kind

_DEADLINE_MS = 250.0
_STARTS = 3
_RUNS = 5
_PATIENCE = 3.0
_PATIENCE_S = 60.0
_NODES = {
    "camera": ("vp_mqtt.nodes.camera",),
    "variant": ("vp_mqtt.nodes.variant", "vp_mqtt.inference.onnx"),
    "fusion": ("vp_mqtt.nodes.fusion",),
}
# That a variant node cannot do without.
_LIBRARIES = ("cv2", "numpy", "onnxruntime", "paho.mqtt.client", "pydantic_settings")
# In a process of its own, since modules that are already loaded would cost nothing.
_IMPORT = """\
import importlib, json, sys, time
start = time.perf_counter()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([time.perf_counter() - start, "torch" in sys.modules, len(sys.modules)]))
"""


@dataclass(frozen=True)
class FootprintSettings:
    """What is measured.

    Attributes:
        bundle: the family: a folder, or the name of a bundled one.
        variant: index of the one variant that runs; None: the last.
        runtime: as `vp-node --runtime`.
        frames: frames to label before memory is measured, at least 1.
        fps: frames per second, greater than 0.
    """

    bundle: str
    variant: int | None
    runtime: str
    frames: int
    fps: float


def measure(settings: FootprintSettings, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure, and return what `vp bench footprint --json` prints.

    Raises:
        UserError: the bundle is not usable, a program is missing, or a node does not work.
    """
    bundle = open_bundle(settings.bundle)
    variant = len(bundle.manifest.variants) - 1 if settings.variant is None else settings.variant
    bundle.variant(variant)
    report("install size and imports")
    found: dict[str, Any] = {
        "bundle": bundle.manifest.name,
        "variant": variant,
        "runtime": settings.runtime,
        "install": _install(),
        "bundle_bytes": sum(file.stat().st_size for file in bundle.folder.iterdir() if file.is_file()),
        "import": {node: _import(modules) for node, modules in _NODES.items()},
        **_starts(),
    }
    return found | _run(settings, variant, report)


def _install() -> dict[str, Any]:
    sizes = install_sizes()
    return {
        "mb": round(sum(sizes.values()) / 1e6, 1),
        "own_mb": round(sizes[OUR_NAME] / 1e6, 2),
        "distributions": {name: round(size / 1e6, 2) for name, size in sizes.items()},
    }


def _import(modules: tuple[str, ...]) -> dict[str, Any]:
    found = []
    for _ in range(_RUNS):
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT, *modules],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        found.append(json.loads(done.stdout))
    return {
        "s": round(statistics.median(seconds for seconds, _, _ in found), 3),
        "torch": any(has_torch for _, has_torch, _ in found),
        "modules": found[-1][2],
    }


def _starts() -> dict[str, Any]:
    """Return how long `vp --help` takes, and, in turns with it, an interpreter that does nothing, or only imports.

    Of processor time, other work on this machine takes less away than of time.
    """
    commands = {
        "bare": ("-c", "pass"),
        "libraries": ("-c", f"import {', '.join(_LIBRARIES)}"),
        "help": ("-m", "vp_mqtt", "--help"),
    }
    times: dict[str, list[float]] = {f"{name}{unit}": [] for name in commands for unit in ("_s", "_cpu_s")}
    for _ in range(_RUNS):
        for name, arguments in commands.items():
            start, used = time.monotonic(), _children_cpu_s()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True, stdin=subprocess.DEVNULL)
            times[f"{name}_s"].append(time.monotonic() - start)
            times[f"{name}_cpu_s"].append(_children_cpu_s() - used)
    return {name: round(statistics.median(some), 3) for name, some in times.items()}


def _children_cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _run(settings: FootprintSettings, variant: int, report: Callable[[str], None]) -> dict[str, Any]:
    environment = {"VP_RUNTIME": settings.runtime}
    with MeasuredSite(bundle=settings.bundle, deadline_ms=_DEADLINE_MS) as site:
        report(f"starting vp-node {_STARTS} times")
        starts, used = [], []
        for number in range(_STARTS):
            name = f"start{number}"
            start = time.monotonic()
            site.start_variant(variant, name=name, environment=environment)
            site.await_online(name)
            starts.append(time.monotonic() - start)
            used.append(usage_of(site.pids()[name]).cpu_s)
            site.nodes.signal(name, signal.SIGTERM)
            site.nodes.wait(name, _PATIENCE_S)
        node = f"v{variant}"
        site.start_fusion()
        site.start_variant(variant, environment=environment)
        site.await_online("fusion", node)
        report(f"{settings.frames} frames at {settings.fps:g} frames/s")
        with PacketListener(site.port, f"vp/{SITE}/#") as wire:
            site.start_camera(source="samples", fps=settings.fps)
            site.await_online(CAMERA)
            recording = site.recorder.recording(CAMERA)
            names, pids = (node, "fusion", CAMERA), site.pids()
            # The time to start does not count for the frames.
            before = len(recording.labels), {name: usage_of(pids[name]).cpu_s for name in names}
            patience = _PATIENCE * settings.frames / settings.fps + _PATIENCE_S
            if not site.recorder.until(lambda: len(recording.labels) >= settings.frames, patience):
                raise UserError(f"{len(recording.labels)} of {settings.frames} labels came; is this machine too busy?")
            frames = len(recording.labels)
            needs = {name: usage_of(pids[name]) for name in names}
            torch = any(has_mapped(pids[name], "torch") for name in names)
            sizes = wire.sizes()
    kinds = (Kind.FRAME, Kind.ANNOUNCE, Kind.VOTE, Kind.LABEL)
    return {
        "start_to_online_s": round(statistics.median(starts), 3),
        "start_cpu_s": round(statistics.median(used), 3),
        "starts_s": [round(seconds, 3) for seconds in starts],
        "frames": frames,
        "processes": {
            role: needs[name].as_dict()
            | {"cpu_ms_per_frame": round(1000 * (needs[name].cpu_s - before[1][name]) / max(1, frames - before[0]), 2)}
            for role, name in zip(("variant", "fusion", "camera"), names, strict=True)
        },
        "torch_is_mapped": torch,
        "wire": {str(kind): sizes[kind] for kind in kinds if kind in sizes},
    }
