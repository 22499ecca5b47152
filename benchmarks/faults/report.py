"""Tables of measurements, for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from benchmarks.faults.measure import Outcome

_COLUMNS = ("announced", "labelled", "no votes", "lost", "late", "twice", "max ms", "back s", "accuracy", "meanwhile")


def _text(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def faults_table(outcomes: Iterable[Outcome]) -> Table:
    """Return a table with a line for every fault."""
    table = Table("fault", *_COLUMNS)
    for outcome in outcomes:
        figures = outcome.figures
        if figures is None:
            table.add_row(outcome.scenario.name, f"not made: {outcome.skipped}")
            continue
        table.add_row(
            outcome.scenario.name,
            str(figures.announced),
            str(figures.labelled),
            str(figures.without_votes),
            str(figures.lost),
            str(figures.late),
            str(figures.twice),
            _text(figures.latency_ms_max, 1),
            _text(figures.recovery_s, 2),
            _text(figures.accuracy, 3),
            _text(figures.accuracy_meanwhile, 3),
        )
    return table
