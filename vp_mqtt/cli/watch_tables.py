"""The tables of `vp watch`: boards, cameras and labels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from vp_mqtt.overview.activity import Outcome, Recently, outcome
from vp_mqtt.overview.frame_sizes import frames_of
from vp_mqtt.overview.node_state import NodeState, note_of
from vp_mqtt.overview.site_overview import Overview, SeenLabel
from vp_mqtt.protocol.messages import LabelMessage, StateMessage
from vp_mqtt.protocol.presence import Presence

_COLORS = {Presence.ONLINE: "green", Presence.STOPPED: "dim"}
_ROLES = {"camera": 0, "fusion": 1, "variant": 2}
_RATES = {"camera": "frames", "fusion": "labels", "variant": "votes"}
_DAY_S = 86_400


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def in_order(nodes: Sequence[NodeState]) -> list[NodeState]:
    """Return nodes in the order in which they are shown: camera, fusion, variants."""
    return sorted(nodes, key=lambda n: (_ROLES.get(n.status.role, 3), n.status.variant or 0, n.status.node))


def boards_table(nodes: Sequence[NodeState], recently: Recently, *, rows: int, is_wide: bool) -> Table:
    """Return the nodes as a table: what each does, how fast, and what becomes of its votes.

    Args:
        nodes: of the site.
        recently: the labels of the last seconds.
        rows: how many fit; of more, those that are not well come first.
        is_wide: whether there is room for host, memory and temperature.
    """
    table = _table()
    table.add_column("node", no_wrap=True, overflow="ellipsis", max_width=30 if is_wide else 20)
    table.add_column("is", no_wrap=True)
    table.add_column("rate", no_wrap=True, justify="right")
    table.add_column("takes", no_wrap=True, justify="right")
    if is_wide:
        table.add_column("host", no_wrap=True, overflow="ellipsis", max_width=16)
        table.add_column("memory", no_wrap=True, justify="right")
        table.add_column("temp.", no_wrap=True, justify="right")
    table.add_column("votes", no_wrap=True, overflow="ellipsis")
    known = {node.status.variant for node in nodes if node.status.role == "variant"}
    silent = [variant for variant, found in recently.outcomes.items() if Outcome.VOTED not in found]
    nobody = sorted({*silent} - known) if nodes else []
    shown = in_order(nodes)
    if len(shown) + bool(nobody) > rows:
        shown = in_order(sorted(shown, key=lambda node: node.is_online)[: max(0, rows - 1 - bool(nobody))])
    for node in shown:
        table.add_row(*_board(node, recently, is_wide=is_wide))
    empty = [""] * (6 if is_wide else 3)  # of the columns after the second
    if nobody:
        table.add_row(Text(", ".join(map(str, nobody)), style="bold red"), Text("no board", style="bold red"), *empty)
    if (left := len(nodes) - len(shown)) > 0:
        table.add_row(Text(f"and {left} more", style="dim"), "", *empty)
    return table


def _board(node: NodeState, recently: Recently, *, is_wide: bool) -> list[str | Text]:
    status, activity = node.status, node.activity if node.is_online else None
    color = _COLORS.get(node.presence, "bold red")
    rate = takes = memory = heat = ""
    if activity is not None:
        rate = "" if activity.per_s is None else f"{activity.per_s:.1f} {_RATES.get(status.role, '')}/s"
        takes = "" if activity.takes_ms is None else f"{activity.takes_ms:.1f} ms"
        memory = "" if activity.stats.rss_mb is None else f"{activity.stats.rss_mb:.0f} MB"
        heat = "" if activity.stats.temperature_c is None else f"{activity.stats.temperature_c:.0f} °C"
    cells: list[str | Text] = [Text(short_name(node), style=color), Text(str(node.presence), style=color), rate, takes]
    if is_wide:
        cells += [Text(status.host), memory, heat]
    return [*cells, Text(_votes_of(node, recently))]


def _votes_of(node: NodeState, recently: Recently) -> str:
    """Return what becomes of a variant's votes; of others, what keeps them from their work, or what they wait for."""
    if node.status.problem is not None and node.is_online:
        return node.status.problem
    if notes := [one for one in (note_of(node), frames_of(node)) if one]:
        return ", ".join(notes)
    if node.status.variant is None or not node.is_online:
        return ""
    return recently.votes(node.status.variant)


def short_name(node: NodeState) -> str:
    """Return a node's name, with its variant's index before it."""
    return node.status.node if node.status.variant is None else f"{node.status.variant}: {node.status.node}"


def cameras_table(overview: Overview, now: float, *, rows: int) -> Table:
    """Return the cameras as a table: the state beside the newest label.

    Args:
        overview: of the site.
        now: on the monotonic clock.
        rows: how many fit; of more, the first ones are shown.
    """
    newest = {seen.label.camera: seen for seen in overview.labels}
    names = sorted({*newest, *overview.states})
    table = _table()
    table.add_column("camera", no_wrap=True, overflow="ellipsis", max_width=16)
    table.add_column("state", no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column("since", no_wrap=True)
    table.add_column("label", no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column("rate", no_wrap=True, justify="right")
    table.add_column("response", no_wrap=True, justify="right")
    rates, recently = overview.rates(now), overview.recently(now)
    fit = len(names) if len(names) <= rows else max(0, rows - 1)
    for name in names[:fit]:
        seen = newest.get(name)
        label = Text("no label", style="dim") if seen is None or seen.is_expired(now) else label_name(seen.label)
        took = recently.response_ms(name)
        response_text = "" if name not in rates else "clocks?" if took is None else f"{took:.0f} ms"
        table.add_row(Text(name), *_state(overview, name, now), label, f"{rates.get(name, 0.0):.1f}/s", response_text)
    if fit < len(names):
        table.add_row(Text(f"and {len(names) - fit} more", style="dim"))
    return table


def _state(overview: Overview, camera: str, now: float) -> list[Text]:
    seen = overview.states.get(camera)
    if seen is None:
        return [Text("-", style="dim"), Text("")]
    if seen.is_expired(now):
        return [Text("out of date", style="bold red"), Text("")]
    style = "dim" if seen.state.label is None else "bold"
    return [Text(state_name(seen.state), style=style), Text(clock_time(seen.state.since, time.time()))]


def state_name(state: StateMessage) -> str:
    """Return a state for people."""
    return "unknown" if state.label is None else state.label


def clock_time(since: float, wall: float) -> str:
    """Return a time for people: the time of day, and the date if it was more than a day ago."""
    return time.strftime("%H:%M:%S" if wall - since < _DAY_S else "%Y-%m-%d %H:%M", time.localtime(since))


def labels_table(labels: Sequence[SeenLabel], now: float, *, is_wide: bool) -> Table:
    """Return labels as a table, newest last; the votes as `01.3`: variant 2 of four was missing.

    Args:
        labels: oldest first.
        now: on the monotonic clock; labels that are out of date by now are dimmed.
        is_wide: whether there is room for the frame's number and the window's time.
    """
    table = _table()
    table.add_column("time", no_wrap=True)
    table.add_column("camera", no_wrap=True, overflow="ellipsis", max_width=16)
    if is_wide:
        table.add_column("frame", no_wrap=True, justify="right")
    table.add_column("label", no_wrap=True, overflow="ellipsis", min_width=12)
    table.add_column("conf.", no_wrap=True, justify="right")
    table.add_column("votes", no_wrap=True, overflow="ellipsis", max_width=16)
    table.add_column("closed by", no_wrap=True)
    if is_wide:
        table.add_column("window", no_wrap=True, justify="right")
    table.add_column("response", no_wrap=True, justify="right")
    for seen in labels:
        label = seen.label
        # Text, not markup: names come from the network.
        cells: list[str | Text] = [time.strftime("%H:%M:%S", time.localtime(seen.wall_time)), Text(label.camera)]
        if is_wide:
            cells.append(label.frame.partition("-")[2])
        confidence = "" if label.confidence is None else f"{label.confidence:.0%}"
        cells += [label_name(label), confidence, _votes(label), str(label.closed_by)]
        if is_wide:
            cells.append(f"{label.latency_ms:.1f} ms")
        cells.append(response(seen))
        table.add_row(*cells, style="dim" if seen.is_expired(now) else "")
    return table


def response(seen: SeenLabel) -> str:
    """Return the time from capture to label for people."""
    return "clocks?" if seen.response_ms is None else f"{seen.response_ms:.0f} ms"


def no_label(label: LabelMessage) -> str:
    """Return what is shown in place of the class name that a label message lacks."""
    if label.known is not False:
        return "(no vote)"
    return f"(unknown, closest: {label.top[0].label})" if label.top else "(unknown)"


def label_name(label: LabelMessage) -> Text:
    """Return a label for people, red if it is known to be wrong."""
    if label.label is None:
        return Text(no_label(label), style="dim")
    if label.truth is None or label.truth == label.label:
        return Text(label.label, style="bold")
    return Text(f"{label.label} (is {label.truth})", style="red")


def _votes(label: LabelMessage) -> str:
    variants = sorted({*label.voted, *label.missing})
    return "".join(str(v) if v in label.voted else "." for v in variants)


def missing(label: LabelMessage, presences: Mapping[int, str]) -> str:
    """Return which variants did not vote on a label, and why: "2 (offline), 3 5 (late)"; empty if all did.

    Args:
        label: the message.
        presences: what is known of those variants that are not online.
    """
    words = {Outcome.LATE: "late", Outcome.NOT_NEEDED: "not needed", Outcome.AWAY: "not waited for"}
    by_reason: dict[str, list[str]] = {}
    for variant in label.missing:
        by_reason.setdefault(presences.get(variant) or words[outcome(label, variant)], []).append(str(variant))
    return ", ".join(f"{' '.join(variants)} ({reason})" for reason, variants in by_reason.items())
