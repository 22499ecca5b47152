"""`vp bench cells`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from benchmarks.options import FrameRate
from vp_mqtt.cli.common_options import Json


def cells(
    *,
    seconds: Annotated[float, typer.Option(min=5, max=3600, help="how long each state of the link lasts")] = 60.0,
    fps: FrameRate = 5.0,
    json: Json = False,
) -> None:
    """Measure what a head office sees of a cell whose link is slow, lossy and cut, and what the cell itself loses."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from benchmarks.cells.measure import measure  # noqa: PLC0415
    from benchmarks.cells.report import rows  # noqa: PLC0415
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415

    result = measure(seconds, fps, lambda text: typer.echo(text, err=True)) | {
        "seconds": seconds,
        "fps": fps,
        "machine": describe_machine(),
    }
    if json:
        typer.echo(json_module.dumps(result))
        return
    heading, *body = rows(result)
    table = Table(*heading, box=None)
    for row in body:
        table.add_row(*row)
    Console().print(table)
    for cell, counts in result["site"].items():
        typer.echo(f"{cell}: {counts['without_label']} of {counts['announced']} frames without a label")
