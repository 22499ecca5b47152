"""The faults of `vp bench faults`: how each begins and ends."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.emulation.impairment import Impairment
from benchmarks.emulation.mjpeg_camera import MjpegCamera
from benchmarks.emulation.network import BoardNetwork
from benchmarks.faults.duplicator import Duplicator
from benchmarks.testbed.site import CAMERA, SITE, MeasuredSite
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.files import write_atomically
from vp_mqtt.local.ports import HOST

_DAY = 86_400
_LATE_S, _AWAKE_S = 2.4, 0.1
_CLOCK_FILE = "BENCH_CLOCK_FILE"
# Python imports `sitecustomize` when it starts, so that the node itself is unchanged. (libfaketime, the usual tool,
# also distorts waits on the monotonic clock, which a wrong wall clock does not.)
_WRONG_CLOCK = f"""\
import os, time
_now, _file = time.time, os.environ["{_CLOCK_FILE}"]
def _wrong():
    with open(_file) as clock:
        return _now() + float(clock.read())
time.time = _wrong
"""


class UnavailableFaultError(Exception):
    """A fault that this machine cannot cause; the message says what is missing."""


@dataclass(eq=False)
class FaultRun:
    """A run under a fault.

    Attributes:
        site: the site.
        network: the boards' network, for faults of the link.
        stack: closed at the end of the run.
        folder: folder for files of the run.
        stream: a network camera that can be interrupted.
        flood: closed to end a flood.
    """

    site: MeasuredSite
    network: BoardNetwork | None
    stack: ExitStack
    folder: Path
    stream: MjpegCamera = field(default_factory=MjpegCamera)
    flood: ExitStack = field(default_factory=ExitStack)

    def impair_link(self, impairment: Impairment) -> None:
        """Impair the boards' link."""
        if self.network is None:
            raise UnavailableFaultError("no private network")
        self.network.impair(impairment)


def _do_nothing(_run: FaultRun) -> None:
    pass


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        name: name for `--only`.
        text: what happens, for people.
        begin: causes the fault.
        end: ends it; None if it does not end.
        hold_s: how long it lasts at least, in s.
        affected: variants whose votes are to return when it ends.
        behind_link: variants behind a link that can be impaired.
        hides_labels: whether frames may lack a label message while it lasts, since fusion node or broker are down.
        source: starts the camera's source and returns its address; None: the samples.
        clock_offsets: offsets of nodes' wall clocks, in s.
        is_disk_full: whether the logs of all nodes go to a full disk.
        frames_factor: how many times as many frames as usual.
    """

    name: str
    text: str
    begin: Callable[[FaultRun], None] = _do_nothing
    end: Callable[[FaultRun], None] | None = None
    hold_s: float = 3.0
    affected: tuple[int, ...] = ()
    behind_link: tuple[int, ...] = ()
    hides_labels: bool = False
    source: Callable[[FaultRun], str] | None = None
    clock_offsets: dict[str, int] = field(default_factory=dict)
    is_disk_full: bool = False
    frames_factor: int = 1

    def environment(self, name: str, folder: Path) -> dict[str, str]:
        """Return the environment variables that set a node's wall clock wrong."""
        if name not in self.clock_offsets:
            return {}
        file = folder / f"clock-{name}"
        file.write_text(f"{self.clock_offsets[name]}\n", encoding="ascii")
        (folder / "sitecustomize.py").write_text(_WRONG_CLOCK, encoding="utf-8")
        return {"PYTHONPATH": str(folder), _CLOCK_FILE: str(file)}


def _kill(*variants: int) -> Callable[[FaultRun], None]:
    def begin(run: FaultRun) -> None:
        for variant in variants:
            run.site.nodes.kill(f"v{variant}")

    return begin


def _signal(name: str, number: signal.Signals) -> Callable[[FaultRun], None]:
    return lambda run: run.site.nodes.signal(name, number)


def _stutter(run: FaultRun) -> None:
    """Let variant 0 run in short bursts only, so that its votes come ten deadlines late."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            run.site.nodes.signal("v0", signal.SIGSTOP)
            is_over.wait(_LATE_S)
            run.site.nodes.signal("v0", signal.SIGCONT)
            is_over.wait(_AWAKE_S)

    thread = threading.Thread(target=work, name="stutter", daemon=True)

    def stop() -> None:
        is_over.set()
        thread.join()

    run.stack.callback(stop)
    thread.start()


def _restart_fusion(run: FaultRun) -> None:
    run.site.start_fusion()


def _stream(run: FaultRun) -> str:
    run.stream.start()
    run.stack.callback(run.stream.stop)
    return run.stream.url


def _link(impairment: Impairment) -> Callable[[FaultRun], None]:
    return lambda run: run.impair_link(impairment)


def _set_clocks(offsets: dict[str, int]) -> Callable[[FaultRun], None]:
    def begin(run: FaultRun) -> None:
        for name, offset in offsets.items():
            write_atomically(run.folder / f"clock-{name}", f"{offset}\n")

    return begin


def _duplicate(run: FaultRun) -> None:
    duplicator = Duplicator(run.site.url(HOST), SITE, CAMERA)
    duplicator.start()
    run.stack.callback(duplicator.stop)


def _flood(kind: str, rate: float) -> Callable[[FaultRun], None]:
    """Let a client with no account flood the site with messages of one kind, so many per second."""

    def begin(run: FaultRun) -> None:
        run.site.recorder.ignore_statuses()
        digest = open_bundle(run.site.bundle).manifest.short_digest.hex()
        frames = run.site.recorder.recording(CAMERA).announced
        arguments = [str(run.site.port), kind, SITE, digest, str(next(iter(frames)).run), "--rate", str(rate)]
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.faults.flooder", *arguments])

        def stop() -> None:
            process.kill()
            process.wait()

        run.flood = run.stack.enter_context(ExitStack())
        run.flood.callback(stop)

    return begin


def _end_flood(run: FaultRun) -> None:
    run.flood.close()


_CUT = Impairment(loss=1.0)
_NO_IMPAIRMENT = Impairment()
_OFFSETS = {"v0": _DAY, "v1": -_DAY, CAMERA: -_DAY, "fusion": _DAY}
_SWAPPED = {name: -offset for name, offset in _OFFSETS.items()}
_BOARDS = (0, 1, 2)

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("none", "no fault, for comparison"),
        Fault("kill-1", "1 of the variants killed (SIGKILL)", _kill(0)),
        Fault("kill-3", "3 of the variants killed (SIGKILL)", _kill(0, 2, 4)),
        Fault("kill-5", "5 of the variants killed (SIGKILL)", _kill(0, 1, 2, 3, 4)),
        Fault(
            "freeze",
            "a variant frozen (SIGSTOP), and thawed",
            _signal("v0", signal.SIGSTOP),
            _signal("v0", signal.SIGCONT),
            affected=(0,),
        ),
        Fault("slow", "a variant whose votes come ten deadlines late", _stutter, hold_s=8.0),
        Fault(
            "fusion",
            "the fusion node killed, and started again",
            lambda run: run.site.nodes.kill("fusion"),
            _restart_fusion,
            hold_s=1.0,
            hides_labels=True,
        ),
        Fault(
            "stream",
            "the camera's stream broken, and back",
            lambda run: run.stream.stop(),
            lambda run: run.stream.start(),
            source=_stream,
        ),
        Fault(
            "broker-kill",
            "the broker killed, and started again",
            lambda run: run.site.kill_broker(),
            lambda run: run.site.restart_broker(),
            affected=(0, 1, 2, 3, 4, 5),
            hides_labels=True,
        ),
        Fault(
            "broker-freeze",
            "the broker frozen, and thawed",
            lambda run: run.site.signal_broker(signal.SIGSTOP),
            lambda run: run.site.signal_broker(signal.SIGCONT),
            hold_s=10.0,
            affected=(0, 1, 2, 3, 4, 5),
            hides_labels=True,
        ),
        Fault(
            "cut",
            "a board cut off without a TCP close, and back",
            _link(_CUT),
            _link(_NO_IMPAIRMENT),
            hold_s=20.0,
            frames_factor=2,
            affected=(0,),
            behind_link=(0,),
        ),
        Fault("loss", "20 % of the packets of three boards lost", _link(Impairment(loss=0.2)), behind_link=_BOARDS),
        Fault(
            "delay",
            "300 ms delay with 100 ms jitter to three boards",
            _link(Impairment(delay=0.3, jitter=0.1)),
            behind_link=_BOARDS,
        ),
        Fault("bandwidth", "1 Mbit/s for three boards together", _link(Impairment(rate=125_000)), behind_link=_BOARDS),
        Fault(
            "packets",
            "packets of three boards duplicated (10 %) and reordered",
            _link(Impairment(delay=0.01, jitter=0.01, duplicate=0.1)),
            behind_link=_BOARDS,
        ),
        Fault("messages", "every announce and vote once more, late and out of order", _duplicate),
        Fault(
            "clocks",
            "clocks a day off in either direction, swapped in mid-run",
            _set_clocks(_SWAPPED),
            clock_offsets=_OFFSETS,
        ),
        Fault(
            "twin",
            "a second board with the same variant, and the first one killed after it",
            lambda run: run.site.start_variant(0, name="v0-second"),
            lambda run: run.site.nodes.kill("v0"),
            affected=(0,),
        ),
        *(
            Fault(f"flood-{kind}", text, _flood(kind, rate), _end_flood, hold_s=8.0, frames_factor=2)
            for kind, rate, text in (
                ("votes", 10_000, "10,000 valid votes per second of one variant on invented frames"),
                ("announces", 10_000, "10,000 announces per second of one other camera"),
                ("frames", 3_000, "3,000 small frames per second of one other camera"),
                ("statuses", 10_000, "10,000 statuses per second of one node"),
                ("cameras", 10_000, "announces of 60,000 invented cameras, 10,000 per second"),
                ("nodes", 10_000, "statuses of 60,000 invented nodes, 10,000 per second"),
                ("lies", 50, "statuses, 50 per second, that say that all variants are offline"),
                ("jumps", 10, "10 announces per second of the camera with sequence numbers at the end of their range"),
            )
        ),
        Fault("disk-full", "the logs of all nodes go to a full disk", is_disk_full=True),
    )
}


def temporary_folder(stack: ExitStack) -> Path:
    """Create a folder that is removed when the run ends, and return it."""
    folder = Path(tempfile.mkdtemp(prefix="vp-bench-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder
