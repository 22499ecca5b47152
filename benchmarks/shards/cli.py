"""`vp bench shards`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from benchmarks.options import FrameRate
from vp_mqtt.cli.common_options import Json


def shards(
    *,
    cameras: Annotated[int, typer.Option(min=4, max=256, help="simulated cameras")] = 16,
    fps: FrameRate = 10.0,
    stats_every: Annotated[float, typer.Option(min=0.2, max=60, help="as vp-fusion --stats-every")] = 1.0,
    frozen: Annotated[float, typer.Option(min=1, max=120, help="seconds for which a fusion node is frozen")] = 6.0,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="how often each fault is measured")] = 3,
    seconds: Annotated[float, typer.Option(min=2, max=600, help="how long each group of boards is measured")] = 20.0,
    json: Json = False,
) -> None:
    """Let fusion nodes that share cameras, and boards that share a variant's frames, come, go and hang."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from benchmarks.shards import measure, replicas, report  # noqa: PLC0415
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415

    def say(text: str) -> None:
        typer.echo(text, err=True)

    settings = measure.Settings(cameras, fps, stats_every, frozen, repeats)
    found = {
        "shards": measure.measure(settings, say),
        "replicas": replicas.measure(seconds, say),
        "machine": describe_machine(),
    }
    if json:
        typer.echo(json_module.dumps(found))
        return
    for heading, *rows in (report.fault_rows(found), report.group_rows(found)):
        table = Table(*heading)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
