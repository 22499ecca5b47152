"""Measures one fusion node on one core; broker, cameras and boards run on another."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from benchmarks.child_process import module_command
from benchmarks.emulation.cpu_affinity import on_core
from benchmarks.scale.family import write_bundle
from benchmarks.scale.load import WARM_UP
from benchmarks.scale.traffic import Traffic
from benchmarks.testbed.site import SITE, MeasuredSite
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.topics import ANY, Topics
from vp_mqtt.site.machine import usable_cores

_FUSION = "fusion"


@dataclass(frozen=True)
class Step:
    """What one fusion node did with one kind of traffic.

    Attributes:
        traffic: what was sent.
        seen: what the load process saw: labels lost, and their times.
        shares: of one core, 0..1, by process.
        us_per_vote: processor time of the fusion node per vote, in us.
    """

    traffic: Traffic
    seen: dict[str, Any]
    shares: dict[str, float]
    us_per_vote: float

    def keeps_up(self, deadline_ms: float) -> bool:
        """Return whether every frame got its label, and 99 % of them within the deadline."""
        response = self.seen["response_ms"]
        return self.seen["labels_lost"] == 0 and response is not None and response["p99"] <= deadline_ms

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        traffic = self.traffic
        return {
            "cameras": traffic.cameras,
            "variants": traffic.variants,
            "fps": round(traffic.fps, 3),
            "in_step": traffic.in_step,
            "votes_per_second": round(traffic.votes_per_second),
            "us_per_vote": round(self.us_per_vote, 1),
            "shares": {name: round(share, 3) for name, share in self.shares.items()},
            **self.seen,
        }


class ScaleSite:
    """A broker, and a fusion node for families of any size; everything ends with the context."""

    def __init__(self, *, deadline_ms: float) -> None:
        """Prepare, without starting anything."""
        cores = usable_cores()
        self._own_core, self._fusion_core = cores[0], cores[-1]
        self._deadline_ms = deadline_ms
        self._stack = ExitStack()
        self._variants = 0
        self._runs = 0
        self._digests: dict[int, str] = {}

    def __enter__(self) -> Self:
        """Start the broker.

        Raises:
            UserError: Mosquitto is not installed, or did not start.
        """
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vp-scale-")))
        with on_core(self._own_core):
            site = MeasuredSite(bundle="", deadline_ms=self._deadline_ms, stats_every=1.0, records=None)
            self._site = self._stack.enter_context(site)
        for pid in (os.getpid(), self._site.pids()["broker"]):
            _prioritise(pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def use(self, variants: int) -> None:
        """Run a fusion node for a family of so many variants; none if it is 0.

        Raises:
            UserError: it did not come online.
        """
        if variants == self._variants:
            return
        if self._variants:
            self._site.nodes.kill(self._name())
        self._variants = variants
        if not variants:
            return
        if variants not in self._digests:
            self._digests[variants] = write_bundle(self._folder, variants).short_digest.hex()
        bundle = str(self._folder / f"scale-{variants}")
        with on_core(self._fusion_core):
            self._site.start(self._name(), _FUSION, "--bundle", bundle, "--deadline-ms", f"{self._deadline_ms:g}")
        self._site.await_online(self._name())
        _prioritise(self._site.pids()[self._name()])

    def _name(self) -> str:
        return f"{_FUSION}{self._variants}"

    def measure(self, traffic: Traffic) -> Step:
        """Send the traffic to a fusion node for a family of its size.

        Raises:
            UserError: a process failed.
        """
        self.use(traffic.variants)
        pids = self._site.pids()
        seen, used, elapsed = self._send(traffic, {_FUSION: pids[self._name()], "broker": pids["broker"]})
        votes = traffic.votes_per_second * traffic.seconds * (1 - WARM_UP)
        shares = {name: seconds / elapsed for name, seconds in used.items()}
        return Step(traffic, seen, shares, used[_FUSION] / votes * 1e6)

    def traffic(self, cameras: int, variants: int, fps: float, seconds: float, *, in_step: bool = False) -> Traffic:
        """Return traffic with new frames, for the family of this size."""
        self._runs += 1
        return Traffic(
            SITE, self._digests.get(variants, "00000000"), self._runs, cameras, variants, fps, seconds, in_step
        )

    def count_with_paho(self, traffic: Traffic) -> dict[str, float]:
        """Have a bare paho client, on the core of the fusion node, count the same votes; no fusion node runs.

        Returns:
            "messages_per_second", and "us_per_message" of processor time.

        Raises:
            UserError: a process failed.
        """
        self.use(0)
        command = module_command("benchmarks.scale.subscriber", str(self._site.port), Topics(SITE).vote(ANY, ANY))
        with on_core(self._fusion_core):
            counter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            _expect(counter, "ready")
            counted = [0]

            def count() -> None:
                counted.append(_ask(counter))

            _, used, elapsed = self._send(traffic, {"counter": counter.pid}, count)
        finally:
            counter.communicate()
        messages = counted[2] - counted[1]
        return {
            "votes_per_second": round(traffic.votes_per_second),
            "messages_per_second": round(messages / elapsed),
            "us_per_message": round(used["counter"] / max(1, messages) * 1e6, 1),
        }

    def _send(
        self, traffic: Traffic, pids: dict[str, int], on_sample: Callable[[], None] = lambda: None
    ) -> tuple[dict[str, Any], dict[str, float], float]:
        """Send the traffic; return what became of it, processor time by process and time that passed, in s."""
        with on_core(self._own_core):
            load = subprocess.Popen(
                module_command("benchmarks.scale.load", str(self._site.port), traffic.to_json()),
                stdout=subprocess.PIPE,
                text=True,
            )
        pids = {**pids, "load": load.pid}
        with load:
            times = []
            for word in ("begin", "end"):
                _expect(load, word)
                times.append((time.monotonic(), {name: _cpu_s(pid) for name, pid in pids.items()}))
                on_sample()
            answer, _ = load.communicate()
        (began, before), (ended, after) = times
        return json.loads(answer), {name: after[name] - before[name] for name in pids}, ended - began


def _expect(process: subprocess.Popen[str], word: str) -> None:
    line = process.stdout.readline() if process.stdout is not None else ""
    if line.strip() != word:
        process.kill()
        raise UserError(f"a process of the measurement failed: {line.strip() or 'no output'}")


def _ask(process: subprocess.Popen[str]) -> int:
    if process.stdin is None or process.stdout is None:
        raise UserError("the counting process cannot be asked")
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def _prioritise(pid: int) -> None:
    """Give a process's session this process's priority: Linux's autogroups take it from nobody (sched(7))."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)), encoding="ascii")


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def faster(traffic: Traffic, votes_per_second: float) -> Traffic:
    """Return the same traffic at another rate."""
    return replace(traffic, fps=votes_per_second / (traffic.cameras * traffic.variants))
