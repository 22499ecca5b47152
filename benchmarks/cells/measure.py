"""Measures what a cell and its head office see while the link between them is slow, lossy and cut."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

from benchmarks.cells.office import CELLS, Office
from benchmarks.emulation.impairment import Impairment
from benchmarks.emulation.network import NoNetworkError, private_network
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import connected
from vp_mqtt.overview.cells import Cells, CellState
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.messages import AnnounceMessage, LabelMessage, StateMessage
from vp_mqtt.protocol.topics import ANY, Kind, Topics
from vp_mqtt.site.head_provision import head_person_settings

Say = Callable[[str], None]

_LOOK_EVERY_S = 0.1
_LAST_FRAMES_S = 3.0


@dataclass(frozen=True)
class Phase:
    """How long the links are as they are, in s.

    Attributes:
        name: of the phase.
        seconds: how long it lasts.
        link: what the link does to packets, in each direction.
    """

    name: str
    seconds: float
    link: Impairment


def phases(seconds: float) -> list[Phase]:
    """Return the phases of a run: good, slow and lossy, cut, good again."""
    good = Impairment(delay=0.02, rate=1_250_000, in_order=True)
    bad = Impairment(delay=0.3, jitter=0.1, loss=0.03, rate=16_000, in_order=True)
    cut = Impairment(loss=1.0)
    named = (("good", good), ("slow and lossy", bad), ("cut", cut), ("good again", good))
    return [Phase(name, seconds, link) for name, link in named]


@dataclass
class _Head:
    """What arrives at the head office: when, by the wall clock, which all processes here share."""

    cells: Cells
    labels: list[tuple[float, str]] = field(default_factory=list)
    states: list[tuple[float, str, StateMessage]] = field(default_factory=list)

    def receive(self, message: Received) -> None:
        topic, now = topics.parse(message.topic), time.time()
        if topic.kind is Kind.LABEL:
            self.labels.append((now, topic.site))
            return
        if topic.kind is Kind.STATE and message.payload:
            self.states.append((now, topic.site, StateMessage.decode(message.payload)))
        self.cells.note(topic, message.payload, retained=message.retained, now=time.monotonic(), wall_time=now)


def measure(seconds: float, fps: float, say: Say) -> dict[str, Any]:
    """Run all phases, and return what was measured.

    Raises:
        UserError: this machine has no network namespaces, or something did not start.
    """
    plan = phases(seconds)
    try:
        with private_network(), Office(fps=fps, frames_per_picture=round(5 * fps)) as office:
            return _measure(office, plan, say)
    except NoNetworkError as error:
        raise UserError(str(error)) from None


def _measure(office: Office, plan: list[Phase], say: Say) -> dict[str, Any]:
    for cell in CELLS:
        office.networks[cell].impair(plan[0].link)
    head = _Head(Cells(CELLS, now=time.monotonic()))
    every = Topics(ANY)
    kinds = (every.link(), every.status(ANY), every.state(ANY), every.stats(ANY), every.label(ANY))
    settings = head_person_settings(office.head, office.root, "operator")
    with connected(
        settings.broker_options(),
        client_id="measuring",
        subscriptions=[(topic, 1) for topic in kinds],
        on_message=head.receive,
    ):
        for cell in CELLS:
            office.start_recorder(cell)
        office.start_nodes()
        say("waiting for labels and states of both cells at the head office")
        end = time.monotonic() + 120
        while {cell for _, cell, _ in head.states} < set(CELLS):
            if time.monotonic() > end:
                raise UserError("no state of both cells within 120 s: see the nodes' logs")
            time.sleep(_LOOK_EVERY_S)
        found = [_run(office, head, phase, say) for phase in plan]
        time.sleep(_LAST_FRAMES_S)
        sites = {cell: _site(office.recorded(cell)) for cell in CELLS}
    begins = [phase["from"] for phase in found]
    return {
        "phases": [one | _seen(one, head, sites["north"]) for one in found],
        "site": {cell: _counts(sites[cell], begins[0], found[-1]["to"]) for cell in CELLS},
        "south_always_online": all(one["states_of_cells"]["south"] == [["online", 0.0]] for one in found),
    }


def _run(office: Office, head: _Head, phase: Phase, say: Say) -> dict[str, Any]:
    """Impair the link of the cell north for one phase, and note how the head office's view of the cells changes."""
    say(f"{phase.name}: {phase.seconds:g} s")
    network, bridge = office.networks["north"], psutil.Process(office.bridges["north"].pid)
    network.impair(phase.link)
    begin, sent = time.time(), network.sent_bytes()
    changes: dict[str, list[list[Any]]] = {cell: [] for cell in CELLS}
    most = 0
    while (passed := time.time() - begin) < phase.seconds:
        for report in head.cells.reports(time.monotonic()):
            seen = changes[report.cell]
            if not seen or seen[-1][0] != report.state:
                seen.append([str(report.state), 0.0 if not seen else round(passed, 1)])
        most = max(most, bridge.memory_info().rss)
        time.sleep(_LOOK_EVERY_S)
    end = time.time()
    return {
        "phase": phase.name,
        "link": asdict(phase.link),
        "from": begin,
        "to": end,
        "states_of_cells": changes,
        "kbit_per_s_up": round((network.sent_bytes() - sent) * 8 / 1000 / (end - begin), 1),
        "bridge_rss_mb": round(most / 1e6, 1),
    }


@dataclass
class _Site:
    """What was said within a cell, by time."""

    announced: dict[str, float] = field(default_factory=dict)
    labelled: dict[str, float] = field(default_factory=dict)
    unvoted: int = 0
    states: list[tuple[float, StateMessage]] = field(default_factory=list)


def _site(lines: list[str]) -> _Site:
    site = _Site()
    for line in lines:
        entry = json.loads(line)
        at, payload = entry["at"], base64.b64decode(entry["payload"])
        match topics.parse(entry["topic"]).kind:
            case Kind.ANNOUNCE:
                site.announced[AnnounceMessage.decode(payload).frame] = at
            case Kind.LABEL:
                label = LabelMessage.decode(payload)
                site.labelled[label.frame] = at
                site.unvoted += not label.voted
            case Kind.STATE:
                site.states.append((at, StateMessage.decode(payload)))
    return site


def _counts(site: _Site, begin: float, end: float) -> dict[str, int]:
    announced = {frame for frame, at in site.announced.items() if begin <= at <= end}
    return {
        "announced": len(announced),
        "without_label": len(announced - site.labelled.keys()),
        "labels_without_votes": site.unvoted,
    }


def _seen(phase: dict[str, Any], head: _Head, site: _Site) -> dict[str, Any]:
    """Return what the head office saw of the cell north in a phase, beside what was said there."""
    begin, end = phase["from"], phase["to"]
    arrived: dict[float, float] = {}
    for at, cell, state in head.states:
        if cell == "north":
            arrived.setdefault(state.since, at)
    changed = {state.since: at for at, state in reversed(site.states) if begin <= at <= end}
    # Before the phase ends: what the cut holds back comes later.
    lags = sorted(arrived[since] - at for since, at in changed.items() if since in arrived and arrived[since] <= end)
    first = next((at for at, cell, _ in head.states if cell == "north" and begin <= at <= end), None)
    return {
        "labels_at_site": sum(begin <= at <= end for at in site.labelled.values()),
        "labels_at_head": sum(cell == "north" and begin <= at <= end for at, cell in head.labels),
        "state_changes_at_site": len(changed),
        "state_changes_at_head": len(lags),
        "state_lag_ms_p50": round(lags[len(lags) // 2] * 1000) if lags else None,
        "state_lag_ms_max": round(lags[-1] * 1000) if lags else None,
        "first_state_after_s": None if first is None else round(first - begin, 1),
        "online_at_end": phase["states_of_cells"]["north"][-1][0] == CellState.ONLINE,
    }
