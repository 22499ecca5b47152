"""`vp site cells`: all cells of a head office at a glance, from what its broker receives of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import connected
from vp_mqtt.overview.cells import CellReport, Cells, CellState
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.topics import ANY, Topics

_CONNECT_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.2
_LISTENING_PER_LOOKING = 5.0


@dataclass(frozen=True, slots=True)
class CellsReport:
    """All cells, by name."""

    cells: tuple[CellReport, ...]

    @property
    def problems(self) -> list[str]:
        """What is wrong, one sentence each."""
        return [problem for cell in self.cells for problem in cell.problems]

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        cells = [
            asdict(cell) | {role: dict(zip(("online", "known"), getattr(cell, role), strict=True)) for role in _ROLES}
            for cell in self.cells
        ]
        return {"ok": not self.problems, "problems": self.problems, "cells": cells}

    def as_table(self) -> Table:
        """Return the cells as a table."""
        online = sum(cell.state is CellState.ONLINE for cell in self.cells)
        table = Table(
            title=f"{online} of {len(self.cells)} cells online", title_justify="left", box=None, pad_edge=False
        )
        table.add_column("cell", overflow="fold")
        table.add_column("state", no_wrap=True)
        for heading in ("cameras", "boards", "fusion", "states", "labels/s"):
            table.add_column(heading, no_wrap=True, justify="right")
        table.add_column("bundle", overflow="fold")
        for cell in self.cells:
            is_well = cell.state is CellState.ONLINE and not cell.problems
            style = "green" if is_well else "yellow" if cell.state is CellState.ONLINE else "bold red"
            counts = (f"{now} of {known}" if known else "" for now, known in (cell.cameras, cell.variants, cell.fusion))
            rate = "" if cell.labels_per_s is None else f"{cell.labels_per_s:g}"
            bundles = Text(", ".join(cell.bundles))
            table.add_row(Text(cell.cell), Text(cell.state, style=style), *counts, f"{cell.states}", rate, bundles)
        return table


_ROLES = ("cameras", "variants", "fusion")


class _Listener:
    def __init__(self, planned: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self.cells = Cells(planned, now=time.monotonic())

    def receive(self, message: Received) -> None:
        with self._lock:
            try:
                topic = topics.parse(message.topic)
                self.cells.note(
                    topic, message.payload, retained=message.retained, now=message.at, wall_time=time.time()
                )
            except ValueError:
                return

    def is_complete(self) -> bool:
        with self._lock:
            return self.cells.is_complete(time.monotonic())

    def reports(self) -> CellsReport:
        with self._lock:
            return CellsReport(tuple(self.cells.reports(time.monotonic())))


def cells_report(settings: WatchSettings, seconds: float, planned: Sequence[str] = ()) -> CellsReport:
    """Listen at the head office's broker, and return the state of its cells.

    Args:
        settings: how to log in there.
        seconds: the longest time to listen; what is silent shows after 15 s.
        planned: names of the cells that there should be; empty for those that are heard.

    Raises:
        UserError: the broker cannot be reached, or refuses us.
    """
    listener = _Listener(planned)
    ended = threading.Event()
    every = Topics(ANY)

    def end(_: UserError) -> None:
        ended.set()

    with connected(
        settings.broker_options(),
        client_id=f"vp-{settings.site}-cells-{time.time_ns():x}",
        subscriptions=[(every.link(), 1), (every.status(ANY), 1), (every.state(ANY), 1), (every.stats(ANY), 0)],
        on_message=listener.receive,
        on_end=end,
        timeout_s=_CONNECT_WITHIN_S,
    ) as session:
        until = time.monotonic() + seconds
        # Cells show themselves one after the other: only a plan says whether these are all.
        while not ended.is_set() and (now := time.monotonic()) < until and not (planned and listener.is_complete()):
            # Of thousands of cells, looking takes a while, in which nothing is received.
            pause = max(_LOOK_EVERY_S, _LISTENING_PER_LOOKING * (time.monotonic() - now))
            ended.wait(min(pause, max(0.0, until - time.monotonic())))
        session.check()
    return listener.reports()
