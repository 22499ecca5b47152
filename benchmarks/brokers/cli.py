"""`vp bench brokers`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from vp_mqtt.cli.common_options import Json


def brokers(
    *,
    rounds: Annotated[int, typer.Option(min=20, help="frames per broker, setting and repeat")] = 300,
    repeats: Annotated[int, typer.Option(min=1, help="repeats of the latency measurement")] = 5,
    only: Annotated[str, typer.Option(help="names of checks, separated by commas; or latency")] = "",
    json: Json = False,
) -> None:
    """Check what Mosquitto, iotcore and amqtt do of what this project needs, and measure them."""
    from benchmarks.brokers.compare import compare  # noqa: PLC0415
    from benchmarks.brokers.report import print_report  # noqa: PLC0415

    names = [name for name in only.split(",") if name]
    report = compare(names, rounds, repeats, lambda text: typer.echo(text, err=True))
    if json:
        typer.echo(json_module.dumps(report, indent=2))
    else:
        print_report(report)
