"""The screen of `vp watch`: the site's nodes, its problems, and as many of the newest labels as fit."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.protocol.presence import Presence
from vp_mqtt.site.overview import NodeState, Overview, SeenLabel

_WIDE = 100
_FEWEST_ROWS = 3
_TABLE_LINES = 5  # blank, heading, rule, blank, and one to spare
_COLORS = {Presence.ONLINE: "green", Presence.STOPPED: "dim"}


class Screen:
    """An overview as it is at one moment, drawn to the size of the console."""

    def __init__(self, overview: Overview, now: float) -> None:
        """Draw the overview as it is now, on the monotonic clock."""
        self._overview = overview
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines about the site, and the newest labels, as many as fit."""
        head = Group(*self._head())
        lines = len(console.render_lines(head, options))
        rows = max(_FEWEST_ROWS, console.size.height - lines - _TABLE_LINES)
        yield head
        yield labels_table(list(self._overview.labels)[-rows:], self._now, is_wide=options.max_width >= _WIDE)

    def _head(self) -> list[Text]:
        overview, now = self._overview, self._now
        title = Text.assemble(f"site '{overview.site}'", (f"  {overview.labels_per_s(now):.1f} labels/s", "dim"))
        nodes = Text()
        for role in ("camera", "fusion", "variant"):
            found = overview.nodes(role, now)
            if found:
                names = Text(" ").join(_node(node) for node in found)
                nodes.append_text(Text.assemble(f"{role}{'s' * (len(found) > 1)} ", names, "  "))
        problems = [Text(f"! {problem}", style="bold red") for problem in overview.problems(now)]
        return [title, *([nodes] if nodes else []), *problems]


def _node(node: NodeState) -> Text:
    """Return a node in a few letters: its variant's index, else its name, and its state unless it is online."""
    name = node.status.node if node.status.variant is None else str(node.status.variant)
    state = "" if node.is_online else f" ({node.presence})"
    return Text(f"{name}{state}", style=_COLORS.get(node.presence, "bold red"))


def labels_table(labels: Sequence[SeenLabel], now: float, *, is_wide: bool) -> Table:
    """Return labels as a table, newest last; the votes as `01.3`: variant 2 of four was missing.

    Args:
        labels: oldest first.
        now: on the monotonic clock; labels that are out of date by now are dimmed.
        is_wide: whether there is room for the frame's number and the window's time.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
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
        cells += [_name(label), confidence, _votes(label), str(label.closed_by)]
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


def _name(label: LabelMessage) -> Text:
    if label.label is None:
        return Text(no_label(label), style="dim")
    if label.truth is None or label.truth == label.label:
        return Text(label.label, style="bold")
    return Text(f"{label.label} (is {label.truth})", style="red")


def _votes(label: LabelMessage) -> str:
    variants = sorted({*label.voted, *label.missing})
    return "".join(str(v) if v in label.voted else "." for v in variants)
