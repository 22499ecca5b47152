"""What the commands of `vp site` that look at a whole plan share: their options, and how a report is printed."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Protocol

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

_PROVISIONED = "provisioned"

Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help=f"the provisioned folder (default: {_PROVISIONED} beside the plan)"),
]
Account = Annotated[str | None, typer.Option(metavar="PERSON", help="account to log in with (default: the operator's)")]
Broker = Annotated[
    str | None, typer.Option(metavar="URL", help="without a plan: the broker's address, as for vp watch")
]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="without a plan: settings to log in with, as for vp watch")
]
Wait = Annotated[
    float, typer.Option(min=0.1, max=3600, help="longest time to listen, in seconds; 15 show what is silent")
]


class Report(Protocol):
    """What was found of a site, or of all cells."""

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong, a line each."""

    def as_dict(self) -> dict[str, object]:
        """Return it for `--json`."""

    def as_table(self) -> Table:
        """Return it for people."""


def provisioned_folder(plan: Path, out: Path | None) -> Path:
    """Return the folder that `vp site provision` writes."""
    return out if out is not None else plan.absolute().parent / _PROVISIONED


def print_report(report: Report, *, json: bool, is_well: bool) -> NoReturn:
    """Print a report, and end, with exit code 1 unless all is well."""
    if json:
        typer.echo(json_module.dumps(report.as_dict()))
    else:
        from vp_mqtt.cli.console import report_console  # noqa: PLC0415

        report_console().print(report.as_table())
        for problem in report.problems:
            typer.echo(problem)
    raise typer.Exit(0 if is_well else 1)
