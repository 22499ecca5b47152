"""The faults of `vp bench faults`: how each begins and how it is mended."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.emulation.impairment import Impairment
from benchmarks.emulation.mjpeg_camera import MjpegServer
from benchmarks.emulation.network import BoardNetwork
from benchmarks.faults.duplicator import Repeater
from benchmarks.testbed.site import CAMERA, SITE, Rig
from vp_mqtt.files import write_atomically
from vp_mqtt.local.ports import HOST

_DAY = 86_400
_LATE_S, _AWAKE_S = 2.4, 0.1
_CLOCK_FILE = "BENCH_CLOCK_FILE"
# Python runs a module of this name when it starts: the node itself is the real one. (libfaketime, the usual tool, also
# bends waits on the monotonic clock, which no wrong wall clock does.)
_FALSE_CLOCK = f"""\
import os, time
_now, _file = time.time, os.environ["{_CLOCK_FILE}"]
def _false():
    with open(_file) as clock:
        return _now() + float(clock.read())
time.time = _false
"""


class NotHereError(Exception):
    """A fault that this machine cannot make; the message says what is missing."""


@dataclass(eq=False)
class Run:
    """A run under a fault.

    Attributes:
        rig: the site.
        network: the boards' network, for faults of the link.
        stack: what is to end with the run.
        folder: for files of the run.
        stream: a camera's stream that can be broken.
    """

    rig: Rig
    network: BoardNetwork | None
    stack: ExitStack
    folder: Path
    stream: MjpegServer = field(default_factory=MjpegServer)

    def link(self, impairment: Impairment) -> None:
        """Make the boards' link so bad."""
        if self.network is None:
            raise NotHereError("no network of one's own")
        self.network.impair(impairment)


def _nothing(_run: Run) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """A fault.

    Attributes:
        name: for `--only`.
        text: what happens, for people.
        begin: makes the fault.
        mend: undoes it, None where it stays.
        hold_s: how long it lasts at least, in s.
        concerned: variants whose votes are to come back after the mending.
        behind_link: variants on the far side of a link that can be made bad.
        hides_labels: whether frames may go without a label message while it lasts: fusion node or broker are away.
        source: makes the camera's source; by default the samples.
        clocks: nodes whose clocks are false.
        disk_full: the logs of all nodes go to a full disk.
        stretch: times as many frames as usual.
    """

    name: str
    text: str
    begin: Callable[[Run], None] = _nothing
    mend: Callable[[Run], None] | None = None
    hold_s: float = 3.0
    concerned: tuple[int, ...] = ()
    behind_link: tuple[int, ...] = ()
    hides_labels: bool = False
    source: Callable[[Run], str] | None = None
    clocks: dict[str, int] = field(default_factory=dict)
    disk_full: bool = False
    stretch: int = 1

    def environment(self, name: str, folder: Path) -> dict[str, str]:
        """Return what a node's environment needs for its false clock."""
        if name not in self.clocks:
            return {}
        file = folder / f"clock-{name}"
        file.write_text(f"{self.clocks[name]}\n", encoding="ascii")
        (folder / "sitecustomize.py").write_text(_FALSE_CLOCK, encoding="utf-8")
        return {"PYTHONPATH": str(folder), _CLOCK_FILE: str(file)}


def _kill(*variants: int) -> Callable[[Run], None]:
    def begin(run: Run) -> None:
        for variant in variants:
            run.rig.nodes.kill(f"v{variant}")

    return begin


def _signal(name: str, number: signal.Signals) -> Callable[[Run], None]:
    return lambda run: run.rig.nodes.signal(name, number)


def _stutter(run: Run) -> None:
    """Let variant 0 work in short bursts only, so that its votes come ten deadlines late."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            run.rig.nodes.signal("v0", signal.SIGSTOP)
            over.wait(_LATE_S)
            run.rig.nodes.signal("v0", signal.SIGCONT)
            over.wait(_AWAKE_S)

    thread = threading.Thread(target=work, name="stutter", daemon=True)

    def end() -> None:
        over.set()
        thread.join()

    run.stack.callback(end)
    thread.start()


def _restart_fusion(run: Run) -> None:
    run.rig.start_fusion()


def _stream(run: Run) -> str:
    run.stream.start()
    run.stack.callback(run.stream.stop)
    return run.stream.url


def _link(impairment: Impairment) -> Callable[[Run], None]:
    return lambda run: run.link(impairment)


def _step_clocks(days: dict[str, int]) -> Callable[[Run], None]:
    def begin(run: Run) -> None:
        for name, offset in days.items():
            write_atomically(run.folder / f"clock-{name}", f"{offset}\n")

    return begin


def _repeat(run: Run) -> None:
    repeater = Repeater(run.rig.url(HOST), SITE, CAMERA)
    run.stack.callback(repeater.close)


_CUT = Impairment(loss=1.0)
_WELL = Impairment()
_DAYS = {"v0": _DAY, "v1": -_DAY, CAMERA: -_DAY, "fusion": _DAY}
_SWAPPED = {name: -offset for name, offset in _DAYS.items()}
_BOARDS = (0, 1, 2)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("none", "no fault, for comparison"),
        Scenario("kill-1", "1 of the variants killed (SIGKILL)", _kill(0)),
        Scenario("kill-3", "3 of the variants killed (SIGKILL)", _kill(0, 2, 4)),
        Scenario("kill-5", "5 of the variants killed (SIGKILL)", _kill(0, 1, 2, 3, 4)),
        Scenario(
            "freeze",
            "a variant frozen (SIGSTOP), and thawed",
            _signal("v0", signal.SIGSTOP),
            _signal("v0", signal.SIGCONT),
            concerned=(0,),
        ),
        Scenario("slow", "a variant whose votes come ten deadlines late", _stutter, hold_s=8.0),
        Scenario(
            "fusion",
            "the fusion node killed, and started again",
            lambda run: run.rig.nodes.kill("fusion"),
            _restart_fusion,
            hold_s=1.0,
            hides_labels=True,
        ),
        Scenario(
            "stream",
            "the camera's stream broken, and back",
            lambda run: run.stream.stop(),
            lambda run: run.stream.start(),
            source=_stream,
        ),
        Scenario(
            "broker-kill",
            "the broker killed, and started again",
            lambda run: run.rig.kill_broker(),
            lambda run: run.rig.restart_broker(),
            concerned=(0, 1, 2, 3, 4, 5),
            hides_labels=True,
        ),
        Scenario(
            "broker-freeze",
            "the broker frozen, and thawed",
            lambda run: run.rig.signal_broker(signal.SIGSTOP),
            lambda run: run.rig.signal_broker(signal.SIGCONT),
            hold_s=10.0,
            concerned=(0, 1, 2, 3, 4, 5),
            hides_labels=True,
        ),
        Scenario(
            "cut",
            "a board cut off without a TCP close, and back",
            _link(_CUT),
            _link(_WELL),
            hold_s=20.0,
            stretch=2,
            concerned=(0,),
            behind_link=(0,),
        ),
        Scenario("loss", "20 % of the packets of three boards lost", _link(Impairment(loss=0.2)), behind_link=_BOARDS),
        Scenario(
            "delay",
            "300 ms delay with 100 ms jitter to three boards",
            _link(Impairment(delay=0.3, jitter=0.1)),
            behind_link=_BOARDS,
        ),
        Scenario(
            "bandwidth", "1 Mbit/s for three boards together", _link(Impairment(rate=125_000)), behind_link=_BOARDS
        ),
        Scenario(
            "packets",
            "packets of three boards duplicated (10 %) and reordered",
            _link(Impairment(delay=0.01, jitter=0.01, duplicate=0.1)),
            behind_link=_BOARDS,
        ),
        Scenario("messages", "every announce and vote once more, late and out of order", _repeat),
        Scenario(
            "clocks",
            "clocks a day off in either direction, swapped in mid-run",
            _step_clocks(_SWAPPED),
            clocks=_DAYS,
        ),
        Scenario(
            "twin",
            "a second board with the same variant, and the first one killed after it",
            lambda run: run.rig.start_variant(0, name="v0-second"),
            lambda run: run.rig.nodes.kill("v0"),
            concerned=(0,),
        ),
        Scenario("disk-full", "the logs of all nodes go to a full disk", disk_full=True),
    )
}


def scratch(stack: ExitStack) -> Path:
    """Return a folder that is removed when the run ends."""
    folder = Path(tempfile.mkdtemp(prefix="vp-bench-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder
