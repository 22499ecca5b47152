"""The table of `vp bench faults`."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from benchmarks.faults.measure import FaultOutcome

_COLUMNS = (
    "announced",
    "labelled",
    "no votes",
    "lost",
    "late",
    "twice",
    "max ms",
    "recovery s",
    "accuracy",
    "meanwhile",
)


def _text(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def faults_table(outcomes: Iterable[FaultOutcome]) -> Table:
    """Return a table with a row for every fault."""
    table = Table("fault", *_COLUMNS)
    for outcome in outcomes:
        summary = outcome.summary
        if summary is None:
            table.add_row(outcome.fault.name, f"skipped: {outcome.skipped}")
            continue
        table.add_row(
            outcome.fault.name,
            str(summary.announced),
            str(summary.labelled),
            str(summary.without_votes),
            str(summary.lost),
            str(summary.late),
            str(summary.twice),
            _text(summary.latency_ms_max, 1),
            _text(summary.recovery_s, 2),
            _text(summary.accuracy, 3),
            _text(summary.accuracy_meanwhile, 3),
        )
    return table
