"""Emulated boards: each a process with a share of a core, behind a link of its own, whose power can be cut."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.comparison.systems import System
from benchmarks.emulation.cpu_quota import CpuQuota, NoQuotaError
from benchmarks.emulation.impairment import Impairment
from benchmarks.emulation.network import BoardNetwork, NoNetworkError, private_network
from benchmarks.testbed.recording import Recording
from benchmarks.testbed.site import MeasuredSite
from vp_mqtt.errors import UserError

_BYTES_PER_MBIT = 125_000
_NO_STATS_S = 3600.0
_START_S = 60.0
_SETTLE_S = 0.3
_CUT_S = 0.1

LINKS: dict[str, tuple[str, Impairment]] = {
    "ethernet": ("100 Mbit/s", Impairment(rate=100 * _BYTES_PER_MBIT)),
    "wifi": (
        "20 Mbit/s, 3 ms +- 2 ms",
        Impairment(rate=20 * _BYTES_PER_MBIT, delay=0.003, jitter=0.002, in_order=True),
    ),
    "lossy": (
        "5 Mbit/s, 2 % of the packets lost, 10 ms +- 5 ms",
        Impairment(rate=5 * _BYTES_PER_MBIT, loss=0.02, delay=0.01, jitter=0.005, in_order=True),
    ),
}
"""Links by name: what they are, for people, and what they do to packets, in each direction."""


@dataclass(frozen=True)
class Emulation:
    """How boards are emulated.

    Attributes:
        link: name of the boards' links; None: this machine's loopback.
        core_share: share of one core for each board; None: as much as it can get.
    """

    link: str | None
    core_share: float | None


class Boards:
    """A site whose boards run one system; everything ends with the context."""

    def __init__(self, system: System, emulation: Emulation, deadline_ms: float) -> None:
        """Prepare, without starting anything.

        Args:
            system: what the boards run.
            emulation: how they are emulated.
            deadline_ms: deadline of a window, in ms.
        """
        self._contender = system
        self._emulation = emulation
        self._deadline_ms = deadline_ms
        self._links: list[BoardNetwork] = []
        self._stack = ExitStack()
        self._alive = set(range(system.boards))
        self._cameras = 0

    def __enter__(self) -> Self:
        """Start broker, fusion node and boards.

        Raises:
            UserError: a node did not start.
            NoNetworkError: no links can be made here.
            NoQuotaError: processes cannot be limited here.
        """
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start(self) -> None:
        system, enter = self._contender, self._stack.enter_context
        if self._emulation.link is not None:
            enter(private_network())
            self._links = [enter(BoardNetwork(index)) for index in range(system.boards)]
        # Entered before the nodes start, so that they have ended when the groups are removed.
        share = self._emulation.core_share
        shares = [enter(CpuQuota(_name(b), share)) for b in range(system.boards)] if share else []
        self._site = enter(
            MeasuredSite(
                bundle=str(system.bundle.folder),
                deadline_ms=self._deadline_ms,
                has_links=bool(self._links),
                stats_every=_NO_STATS_S,
            )
        )
        self._site.start_fusion()
        for board, command in enumerate(system.commands):
            link = self._links[board] if self._links else None
            self._site.start(_name(board), *command, link=link)
        self._site.await_online("fusion", *(_name(board) for board in range(system.boards)))
        pids = self._site.nodes.pids()
        for board, group in enumerate(shares):
            group.add(pids[_name(board)])
        if self._emulation.link is not None:
            for link in self._links:
                link.impair(LINKS[self._emulation.link][1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def play(
        self, source: str, size: str | None, fps: float, frames: int, kill_half_way: int | None = None
    ) -> Recording:
        """Let a camera publish frames, and return the recording.

        Args:
            source: as for `vp-camera --source`.
            size: as for `vp-camera --size`; None: the size of the pictures.
            fps: frames per second.
            frames: how many, at least 2.
            kill_half_way: a board whose power is cut when half of the frames are out.

        Raises:
            UserError: the camera did not publish them.
        """
        camera = f"cam{self._cameras}"
        self._cameras += 1
        recorder, recording = self._site.recorder, self._site.recorder.recording(camera)
        flags = ("--size", size) if size is not None else ()
        self._site.start(
            camera,
            "camera",
            *("--camera", camera, "--source", source, "--fps", f"{fps:g}", "--frames", str(frames), *flags),
        )
        patience = _START_S + 2 * frames / fps
        if kill_half_way is not None:
            recorder.until(lambda: len(recording.announced) >= frames // 2, patience)
            self.cut_power(kill_half_way)
        self._site.nodes.wait(camera, patience)
        recorder.settle(camera, self._deadline_ms / 1000 + 2)
        if len(recording.announced) < frames:
            raise UserError(
                f"only {len(recording.announced)} of {frames} frames; {self._site.nodes.failed() or 'too slow'}"
            )
        return recording

    def cut_power(self, board: int) -> None:
        """Cut a board's power, silently. Without a link of its own, its process is killed, which TCP reports."""
        if self._links:
            self._links[board].impair(Impairment(loss=1.0))
            # The link must be down before the killed process' connection is closed.
            time.sleep(_CUT_S)
        self._site.nodes.kill(_name(board))
        self._alive.discard(board)

    def alive(self) -> list[int]:
        """Return the boards whose power is on."""
        return sorted(self._alive)

    def sent_bytes(self) -> int | None:
        """Return how many bytes all boards have sent so far, headers included; None without links."""
        if not self._links:
            return None
        time.sleep(_SETTLE_S)
        return sum(link.sent_bytes() for link in self._links)


def _name(board: int) -> str:
    return f"board{board}"


def check_emulation(emulation: Emulation) -> tuple[Emulation, list[str]]:
    """Return what of an emulation this machine can do, and what it cannot, for people."""
    cannot = []
    link, share = emulation.link, emulation.core_share
    if link is not None:
        try:
            with private_network(), BoardNetwork():
                pass
        except NoNetworkError as error:
            link = None
            cannot.append(f"boards are on this machine's loopback: {error}")
    if share is not None:
        try:
            with CpuQuota("probe", share):
                pass
        except NoQuotaError as error:
            share = None
            cannot.append(f"boards use as much of the cores as they can get: {error}")
    return Emulation(link, share), cannot
