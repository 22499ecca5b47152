"""Tables of `vp bench brokers`."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

_MARKS = {True: "yes", False: "NO", None: ""}


def print_report(report: dict[str, Any]) -> None:
    """Print the command's JSON as tables."""
    names = list(report["brokers"])
    table = Table("check", *(f"{name} {version}" for name, version in report["brokers"].items()))
    for check, row in report["checks"].items():
        table.add_row(check, *(f"{_MARKS[row[name]['ok']]} {row[name]['detail']}" for name in names))
    console = Console()
    console.print(report["conditions"], table)
    if report.get("latency"):
        delays = Table(*report["latency"][0])
        for row in report["latency"]:
            delays.add_row(*(str(value) for value in row.values()))
        console.print(delays)
