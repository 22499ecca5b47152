"""`vp broker check`."""

from __future__ import annotations

import json as json_module
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt.cli.common_options import Json
from vp_mqtt.cli.settings_options import keyword, settings_command
from vp_mqtt.config.settings import BrokerCheckSettings
from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from vp_mqtt.conformance.features import Report

app = typer.Typer(no_args_is_help=True, help="Look at a broker.")


@app.callback()
def broker() -> None:
    """Look at a broker."""


def _check(settings: BrokerCheckSettings, *, address: str | None, json: bool) -> None:
    """Try which features that vp-mqtt needs a broker has; exit code 1 if any is missing, 2 if it is not reachable."""
    from vp_mqtt.conformance.check import check_broker  # noqa: PLC0415

    options = settings.broker_options()
    if address is not None:
        url = address if "://" in address else f"mqtt://{address}"
        try:
            options = replace(options, url=url)
        except ValueError as error:
            raise UserError(str(error)) from None
    report = check_broker(options, settings.site)
    if json:
        typer.echo(json_module.dumps(report.as_dict()))
    else:
        _print(report)
    raise typer.Exit(0 if report.is_enough else 1)


def _print(report: Report) -> None:
    from rich.table import Table  # noqa: PLC0415

    from vp_mqtt.cli.console import report_console  # noqa: PLC0415
    from vp_mqtt.plain_text import plain  # noqa: PLC0415

    if report.topics is not None or len(report.verdicts) > 1:
        table = Table("feature", "need", "has it", "without it")
        for row in report.rows():
            table.add_row(*map(plain, row))
        report_console().print(table)
    typer.echo(plain(report.conclusion()))


_EXTRA = (
    keyword("address", Annotated[str | None, typer.Argument(help="the broker's address, in place of --broker")]),
    keyword("json", Json, default=False),
)

app.command("check", help=_check.__doc__)(settings_command(BrokerCheckSettings, _check, _EXTRA))
