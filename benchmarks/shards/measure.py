"""Several fusion nodes share simulated cameras; one joins, stops, is killed or frozen, and labels are counted."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.emulation.impairment import Impairment
from benchmarks.emulation.network import BoardNetwork, NoNetworkError, private_network
from benchmarks.scale.family import write_bundle
from benchmarks.scale.load import LabelReader, connect
from benchmarks.scale.traffic import Traffic, batches, statuses
from benchmarks.testbed.site import SITE, MeasuredSite
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.messages import StatusMessage

_DEADLINE_MS = 250.0
_BEFORE_S = 3.0
_LAST_LABELS_S = 1.5
_START_S = 30.0
_VARIANTS = 3
_VICTIM = "fusion1"


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        cameras: how many announce frames.
        fps: frames per second of each.
        stats_every: interval of the fusion nodes' stats, in s: after three of them, a node that hangs is silent.
        frozen_s: how long a node is frozen.
        repeats: how often each fault is measured.
    """

    cameras: int
    fps: float
    stats_every: float
    frozen_s: float
    repeats: int


@dataclass(frozen=True)
class World:
    """What a fault can do something to.

    Attributes:
        site: with the nodes.
        start: starts a further fusion node.
        network: that of the node behind a link.
    """

    site: MeasuredSite
    start: Callable[[int], None]
    network: BoardNetwork | None

    def signal(self, number: signal.Signals) -> None:
        """Send the second node a signal."""
        self.site.nodes.signal(_VICTIM, number)

    def impair(self, impairment: Impairment) -> None:
        """Impair the link of the second node."""
        if self.network is not None:
            self.network.impair(impairment)


@dataclass(frozen=True)
class Fault:
    """What happens to the second of the fusion nodes.

    Attributes:
        nodes: how many fusion nodes there are before.
        act: does it.
        has_link: whether the node is behind a link that can be cut.
        lasts: until when labels are looked at, in s after it began.
    """

    nodes: int
    act: Callable[[World], None]
    lasts: float
    has_link: bool = False


def faults(settings: Settings) -> dict[str, Fault]:
    """Return the faults, by name."""

    def freeze(world: World) -> None:
        world.signal(signal.SIGSTOP)
        time.sleep(settings.frozen_s)
        world.signal(signal.SIGCONT)

    def cut(world: World) -> None:
        world.impair(Impairment(loss=1.0))
        time.sleep(settings.frozen_s)
        world.impair(Impairment())

    return {
        "nothing": Fault(3, lambda _: None, 3.0),
        "a third one joins": Fault(2, lambda world: world.start(2), 15.0),
        "it stops (SIGTERM)": Fault(3, lambda world: world.signal(signal.SIGTERM), 4.0),
        "it is killed (SIGKILL)": Fault(3, lambda world: world.signal(signal.SIGKILL), 4.0),
        f"it is frozen for {settings.frozen_s:g} s": Fault(3, freeze, settings.frozen_s + 4.0),
        f"its link is cut for {settings.frozen_s:g} s": Fault(3, cut, settings.frozen_s + 6.0, has_link=True),
    }


def summary(labels: Sequence[tuple[float, Mapping[str, Any]]], traffic: Traffic) -> dict[str, Any]:
    """Return what became of the frames.

    Args:
        labels: as they arrived, with the time.
        traffic: the frames that were announced.
    """
    counts = Counter((label["camera"], label["frame"]) for _, label in labels)
    arrived: dict[str, list[float]] = defaultdict(list)
    owners: dict[str, set[str]] = defaultdict(set)
    for at, label in labels:
        arrived[label["camera"]].append(at)
        owners[label["camera"]].add(label["owner"])
    moved = {camera for camera, names in owners.items() if len(names) > 1}
    pauses = {
        camera: max((after - before for before, after in pairwise(times)), default=0.0)
        for camera, times in arrived.items()
    }
    frames = traffic.cameras * traffic.frames_per_camera
    lost = Counter({f"cam{n}": traffic.frames_per_camera for n in range(traffic.cameras)})
    lost.subtract(camera for camera, _ in counts)
    return {
        "frames": frames,
        "lost": frames - len(counts),
        "lost_of_others": sum(count for camera, count in lost.items() if camera not in moved),
        "labelled_twice": sum(count > 1 for count in counts.values()),
        "cameras_moved": len(moved),
        "longest_pause_s": round(max((pauses[camera] for camera in moved), default=0.0), 3),
        "longest_pause_of_others_s": round(max((p for c, p in pauses.items() if c not in moved), default=0.0), 3),
    }


class ShardSite:
    """A broker, and fusion nodes that share cameras."""

    def __init__(self, settings: Settings, folder: Path, bundle: Path) -> None:
        """Prepare, without starting anything."""
        self._settings = settings
        self._folder = folder
        self._bundle = bundle

    def run(self, fault: Fault, traffic: Traffic) -> dict[str, Any]:
        """Send the traffic, and let the fault happen meanwhile.

        Raises:
            NoNetworkError: this machine allows no private networks.
            UserError: Mosquitto or a node did not start.
        """
        with ExitStack() as stack:
            network = None
            if fault.has_link:
                stack.enter_context(private_network())
                network = stack.enter_context(BoardNetwork())
            site = stack.enter_context(
                MeasuredSite(
                    bundle=str(self._bundle),
                    deadline_ms=_DEADLINE_MS,
                    network=network,
                    stats_every=self._settings.stats_every,
                    records=None,
                )
            )

            def start(number: int) -> None:
                names = ",".join(f"cam{n}" for n in range(traffic.cameras))
                arguments = ("--bundle", str(self._bundle), "--shard", "--cameras", names, "--no-state")
                name, log = f"fusion{number}", self._folder / f"fusion{number}.log"
                site.start(name, "fusion", *arguments, behind_link=fault.has_link and name == _VICTIM, log=log)

            for number in range(fault.nodes):
                start(number)
            self._await_shared(site, fault.nodes)
            reader = LabelReader(site.port, SITE)
            actor = threading.Timer(_BEFORE_S, fault.act, [World(site, start, network)])
            actor.start()
            self._send(site.port, traffic)
            actor.join()
            time.sleep(_LAST_LABELS_S)
            return summary(reader.labels(), traffic)

    @staticmethod
    def _await_shared(site: MeasuredSite, count: int) -> None:
        """Wait until so many nodes yield to each other."""
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            statuses_ = [site.recorder.status(f"fusion{n}") for n in range(count)]
            if all(isinstance(one, StatusMessage) and len(one.yields or ()) == count - 1 for one in statuses_):
                time.sleep(1.0)
                return
            time.sleep(0.05)
        raise UserError("the fusion nodes do not share the cameras")

    @staticmethod
    def _send(port: int, traffic: Traffic) -> None:
        with connect(port, "shards-cameras") as cameras, ExitStack() as stack:
            boards = [stack.enter_context(connect(port, f"shards-board{v}")) for v in range(traffic.variants)]
            cameras.sendall(statuses(traffic))
            began = time.monotonic()
            for batch in batches(traffic):
                time.sleep(max(0.0, began + batch.at - time.monotonic()))
                cameras.sendall(batch.announces)
                for board, packets in zip(boards, batch.votes, strict=True):
                    if packets:
                        board.sendall(packets)


def measure(settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every fault.

    Raises:
        UserError: Mosquitto or a node did not start.
    """
    found: dict[str, Any] = {"cameras": settings.cameras, "fps": settings.fps, "stats_every_s": settings.stats_every}
    found["variants"] = _VARIANTS
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="vp-shards-") as name:
        folder = Path(name)
        digest = write_bundle(folder, _VARIANTS).short_digest.hex()
        site = ShardSite(settings, folder, folder / f"scale-{_VARIANTS}")
        for fault_name, fault in faults(settings).items():
            for repeat in range(settings.repeats):
                seconds = _BEFORE_S + fault.lasts
                run = 1 + len(runs) * settings.repeats + repeat
                traffic = Traffic(SITE, digest, run, settings.cameras, _VARIANTS, settings.fps, seconds)
                try:
                    outcome = site.run(fault, traffic)
                except NoNetworkError as error:
                    say(f"{fault_name}: left out: {error}")
                    break
                runs.setdefault(fault_name, []).append(outcome)
                say(f"{fault_name}: {outcome}")
    return found | {"faults": runs}
