"""The screen of `vp watch`: problems, boards, cameras, and as many of the newest labels as fit."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from vp_mqtt.cli.watch_tables import boards_table, cameras_table, labels_table
from vp_mqtt.overview.site_overview import Overview

_WIDE = 100
_FEWEST_ROWS = 3
_TABLE_LINES = 2  # heading, rule
_SPARE_LINES = 1


class Screen:
    """An overview as it is at one moment, drawn to the size of the console."""

    def __init__(self, overview: Overview, now: float) -> None:
        """Draw the overview as it is now, on the monotonic clock."""
        self._overview = overview
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines about the site, its boards and cameras, and the newest labels, as many as fit."""
        overview, now = self._overview, self._now
        is_wide = options.max_width >= _WIDE
        left = console.size.height - _SPARE_LINES - _TABLE_LINES - _FEWEST_ROWS
        parts: list[RenderableType] = list(self._head(max(2, left // 3)))

        def height() -> int:
            return len(console.render_lines(Group(*parts), options))

        nodes = overview.nodes(None, now)
        if nodes:
            # A camera's row and heading have to fit below.
            room = max(_FEWEST_ROWS, left - height() - _TABLE_LINES - (_TABLE_LINES + 1))
            parts.append(boards_table(nodes, overview.recently(now), rows=room, is_wide=is_wide))
        if overview.labels or overview.states:
            parts.append(cameras_table(overview, now, rows=max(1, left - height() - _TABLE_LINES)))
        yield from parts
        rows = max(_FEWEST_ROWS, console.size.height - height() - _SPARE_LINES - _TABLE_LINES)
        yield labels_table(list(overview.labels)[-rows:], now, is_wide=is_wide)

    def _head(self, most: int) -> list[Text]:
        overview, now = self._overview, self._now
        title = Text.assemble(f"site '{overview.site}'", (f"  {overview.labels_per_s(now):.1f} labels/s", "dim"))
        found = overview.problems(now)
        problems = [Text(f"! {problem}", style="bold red") for problem in found[:most]]
        if len(found) > most:
            problems.append(Text(f"! and {len(found) - most} more", style="bold red"))
        return [title, *problems]
