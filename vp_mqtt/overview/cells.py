"""What the cells of a head office do, each a site with a broker of its own. Pure: the clock is passed in.

A cell counts as online only while something is heard of its nodes: statuses and states that the head office's broker
has kept say nothing about now. A cell whose own broker has lost its link is *cut off*, which its will says at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vp_mqtt.overview.node_state import NodeState
from vp_mqtt.overview.reading import read_into
from vp_mqtt.overview.site_overview import Overview
from vp_mqtt.protocol.presence import Presence
from vp_mqtt.protocol.topics import Topic

MAX_CELLS = 20_000


class CellState(StrEnum):
    """What is known of a cell."""

    ONLINE = "online"
    """At least one of its nodes is heard."""
    UNHEARD = "not heard yet"
    """Kept statuses say online, but the time was too short to tell."""
    SILENT = "silent"
    """Kept statuses say online, but nothing is heard."""
    CUT_OFF = "cut off"
    """Its broker has lost the link to this one, or is off."""
    OFFLINE = "offline"
    """All its nodes are stopped or offline."""
    UNSEEN = "never seen"


@dataclass(frozen=True, slots=True)
class CellReport:
    """A cell as the head office sees it.

    Attributes:
        cell: its name.
        state: what is known of it.
        cameras: camera nodes online, and known.
        variants: variant nodes online, and known.
        fusion: fusion nodes online, and known.
        bundles: names and short digests that its nodes which are online work with.
        labels_per_s: of its fusion nodes; None before their second stats.
        states: cameras whose state is known and not out of date.
        problems: one sentence each.
    """

    cell: str
    state: CellState
    cameras: tuple[int, int] = (0, 0)
    variants: tuple[int, int] = (0, 0)
    fusion: tuple[int, int] = (0, 0)
    bundles: tuple[str, ...] = ()
    labels_per_s: float | None = None
    states: int = 0
    problems: tuple[str, ...] = ()


class Cells:
    """Listens to statuses, stats, states and links of all cells."""

    def __init__(self, planned: Iterable[str] = (), *, now: float) -> None:
        """Begin to listen.

        Args:
            planned: names of the cells that there should be; empty if that is not known.
            now: on the monotonic clock, in seconds.
        """
        self._since = now
        self._planned = frozenset(planned)
        self._cells = {name: Overview(name, now=now) for name in sorted(self._planned)}

    def note(self, topic: Topic, payload: bytes, *, retained: bool, now: float, wall_time: float) -> None:
        """Note a message; see `read_into`.

        Raises:
            MessageError: the message is invalid, or not of the node or camera whose topic this is.
        """
        cell = self._cells.get(topic.site)
        if cell is None:
            if len(self._cells) >= MAX_CELLS:
                return
            cell = self._cells[topic.site] = Overview(topic.site, now=self._since)
        read_into(cell, topic, payload, retained=retained, now=now, wall_time=wall_time)

    def is_complete(self, now: float) -> bool:
        """Return whether every cell is known, and all that longer listening could add is a silence."""
        return bool(self._cells) and all(self._is_known(cell, now) for cell in self._cells.values())

    @staticmethod
    def _is_known(cell: Overview, now: float) -> bool:
        nodes = cell.nodes(None, now)
        if cell.is_cut_off(now):
            return True
        return bool(nodes) and all(
            node.is_heard
            and (node.status.role != "fusion" or (node.activity is not None and node.activity.per_s is not None))
            for node in nodes
            if node.is_online
        )

    def reports(self, now: float) -> list[CellReport]:
        """Return what is known of each cell, by name."""
        return [self._report(cell, now) for _, cell in sorted(self._cells.items())]

    def _report(self, cell: Overview, now: float) -> CellReport:
        nodes = cell.nodes(None, now)
        state = _state(cell, nodes, now)
        online = [node for node in nodes if node.is_online and node.is_heard]
        rates = [node.activity.per_s for node in online if node.status.role == "fusion" and node.activity is not None]
        known = [rate for rate in rates if rate is not None]
        bundles = {f"{node.status.bundle} {node.status.digest}" for node in online if node.status.bundle}
        problems = self._problems(cell, state, now)
        if self._planned and cell.site not in self._planned:
            problems = (*problems, f"{cell.site}: not in the plan")
        return CellReport(
            cell.site,
            state,
            cameras=_count(online, nodes, "camera"),
            variants=_count(online, nodes, "variant"),
            fusion=_count(online, nodes, "fusion"),
            bundles=tuple(sorted(bundles)),
            labels_per_s=round(sum(known), 1) if known else None,
            states=sum(not seen.is_expired(now) for seen in cell.states.values()),
            problems=problems,
        )

    @staticmethod
    def _problems(cell: Overview, state: CellState, now: float) -> tuple[str, ...]:
        is_empty = state is CellState.UNSEEN and cell.is_linked
        why = _EMPTY if is_empty else _WHY.get(state)
        if why is not None:
            return (f"{cell.site}: {why}",)
        # Labels are not listened to, and perhaps not passed on, so that none are missed.
        found = [problem for problem in cell.problems(now, grace_s=0.0) if not problem.startswith("no label")]
        return tuple(f"{cell.site}: {problem}" for problem in found)


_EMPTY = "its broker is connected to this one, but none of its nodes has been seen: are they installed and on?"
_WHY = {
    CellState.UNHEARD: "not heard while we listened: try a longer --wait",
    CellState.SILENT: "silent: its statuses say online, but none of its nodes is heard",
    CellState.CUT_OFF: "cut off: its broker has no link to this one, or is off",
    CellState.OFFLINE: "all its nodes are stopped or offline",
    CellState.UNSEEN: "never seen: does its broker run, with the bridge to this one?",
}


def _state(cell: Overview, nodes: list[NodeState], now: float) -> CellState:
    presences = {node.presence for node in nodes}
    if cell.is_cut_off(now):
        return CellState.CUT_OFF
    if any(node.is_heard for node in nodes):
        return CellState.ONLINE
    if not nodes:
        return CellState.UNSEEN
    if Presence.ONLINE in presences:
        return CellState.UNHEARD
    return CellState.SILENT if Presence.SILENT in presences else CellState.OFFLINE


def _count(online: list[NodeState], nodes: list[NodeState], role: str) -> tuple[int, int]:
    return sum(node.status.role == role for node in online), sum(node.status.role == role for node in nodes)
