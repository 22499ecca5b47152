"""What frames of different sizes cost a whole site of real nodes: bytes, processor time, and time to the label."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.emulation.impairment import Impairment
from benchmarks.emulation.network import BoardNetwork, NoNetworkError, private_network
from benchmarks.frames.ways import WAYS, Way
from benchmarks.motion.camera import StillCamera
from benchmarks.motion.site import SYS_INTERVAL_S, Watcher, processor_s
from benchmarks.testbed.site import CAMERA, MeasuredSite
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import Picture
from vp_mqtt.local.ports import HOST

_SETTLE_S = 5.0
_DEADLINE_MS = 1000.0


@dataclass(frozen=True)
class SiteSettings:
    """What is measured.

    Attributes:
        bundle: the family: a folder, or the name of a bundled one.
        fps: frames per second of the camera.
        seconds: of each measurement.
        boards: numbers of boards, each with one of the strongest variants.
        link_mbit: rate of a link that all boards share, such as a wireless network, in Mbit/s; None: all are here.
    """

    bundle: str
    fps: float
    seconds: float
    boards: Sequence[int]
    link_mbit: float | None = None


def measure_site(
    scenes: Sequence[Picture], settings: SiteSettings, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return what each way costs sites with so many boards.

    Args:
        scenes: what the camera sees, one after the other.
        settings: what is measured.
        report: called with a line about each step.

    Raises:
        UserError: the bundle is not usable, Mosquitto is missing, or a node did not start.
    """
    found = []
    for boards in settings.boards:
        for way in WAYS:
            report(f"{boards} boards, {way.name}")
            found.append({"boards": boards, "way": way.name, **_run(scenes, way, boards, settings)})
    return found


def _run(scenes: Sequence[Picture], way: Way, boards: int, settings: SiteSettings) -> dict[str, Any]:
    variants = open_bundle(settings.bundle).manifest.strongest(boards)
    with ExitStack() as stack:
        network = _network(stack, settings.link_mbit)
        camera = StillCamera([way.jpeg(scene) for scene in scenes], settings.fps)
        camera.start()
        stack.callback(camera.stop)
        site = stack.enter_context(
            MeasuredSite(
                bundle=settings.bundle,
                deadline_ms=_DEADLINE_MS,
                network=network,
                stats_every=1.0,
                records=None,
                broker_extra=f"sys_interval {SYS_INTERVAL_S}",
            )
        )
        site.start_fusion()
        for variant in variants:
            site.start_variant(variant, behind_link=network is not None)
        site.await_online("fusion", *(f"v{variant}" for variant in variants))
        arguments = ("--camera", CAMERA, "--source", camera.url, "--fps", f"{settings.fps:g}", *way.flags)
        site.start(CAMERA, "camera", *arguments)
        site.await_online(CAMERA)
        watcher = Watcher(site.url(HOST))
        stack.callback(watcher.session.stop)
        time.sleep(_SETTLE_S)
        return _measure(site, watcher, settings.seconds)


def _network(stack: ExitStack, link_mbit: float | None) -> BoardNetwork | None:
    if link_mbit is None:
        return None
    try:
        stack.enter_context(private_network())
        network = stack.enter_context(BoardNetwork())
    except NoNetworkError as error:
        raise UserError(f"--link-mbit {link_mbit:g}: {error}") from None
    network.impair(Impairment(rate=link_mbit * 1e6 / 8, in_order=True))
    return network


def _measure(site: MeasuredSite, watcher: Watcher, seconds: float) -> dict[str, Any]:
    recorder = site.recorder
    # Together with the camera's counters, which come once a second.
    frames_before = recorder.next_stats(CAMERA).counts.get("frames", 0)
    before, bytes_before = processor_s(site.pids()), watcher.carried()
    time.sleep(seconds)
    stats = recorder.next_stats(CAMERA)
    after, bytes_after = processor_s(site.pids()), watcher.carried()
    frames = stats.counts.get("frames", 0) - frames_before
    if frames <= 0 or stats.latency_ms is None:
        raise UserError("no labels came")
    taken = {name: 1000 * (after[name] - before[name]) / frames for name in before}
    boards = [taken[name] for name in taken if name.startswith("v")]
    return {
        "frames": frames,
        "labels": stats.counts.get("labels", 0),
        "bytes_per_frame": round((bytes_after - bytes_before) / frames),
        "camera_ms": round(taken[CAMERA], 2),
        "board_ms": round(statistics.mean(boards), 2),
        "broker_ms": round(taken["broker"], 2),
        "site_ms": round(sum(taken.values()), 2),
        "label_ms": {"p50": stats.latency_ms.p50, "p95": stats.latency_ms.p95},
    }
