"""`vp bench page`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.cli.common_options import Json


def first_version(
    pictures: Annotated[Path, typer.Argument(help="folder of class folders", exists=True, file_okay=False)],
    *,
    runs: Annotated[int, typer.Option(min=1, max=100, help="how often")] = 1,
    json: Json = False,
) -> None:
    """Train on pictures through the page, from "Train now" to the bundle, and take the time."""
    from benchmarks.page.first_version import measure_first_version  # noqa: PLC0415
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415

    found = [measure_first_version(pictures) | {"load": describe_machine()["load"]} for _ in range(runs)]
    if json:
        typer.echo(json_module.dumps({"runs": found, "machine": describe_machine()}))
        return
    for one in found:
        typer.echo(f"{one['pictures']} pictures of {one['classes']} classes in {one['seconds']} s")


def page(
    *,
    minutes: Annotated[float, typer.Option(min=0.05, max=10_000, help="duration, in minutes")] = 60.0,
    cameras: Annotated[int, typer.Option(min=1, max=64, help="cameras")] = 4,
    boards: Annotated[int, typer.Option(min=1, max=64, help="boards that vote on every frame")] = 8,
    fps: Annotated[float, typer.Option(min=0.1, max=100, help="frames per second of each camera")] = 10.0,
    page: Annotated[list[str] | None, typer.Option(metavar="/PATH", help="page that a browser shows; several")] = None,
    every: Annotated[float, typer.Option(min=1, max=3600, help="seconds between two samples")] = 30.0,
    json: Json = False,
) -> None:
    """Show the page of a busy site in Chromium for an hour, and sample memory and processor time of both sides."""
    from benchmarks.page.measure import PageLoad, Sample, measure  # noqa: PLC0415
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415

    def show(sample: Sample) -> None:
        typer.echo(
            f"{sample.at_s:7.0f} s  server {sample.server_mb:6.1f} MB {sample.server_cpu_s:6.1f} s  "
            f"browser {sample.browser_mb:6.1f} MB {sample.browser_cpu_s:6.1f} s  {sample.frames} frames",
            err=True,
        )

    load = PageLoad(minutes, cameras, boards, fps, ("/",) if page is None else tuple(page), every)
    report = measure(load, show) | {"machine": describe_machine()}
    typer.echo(json_module.dumps(report if json else report["summary"]))
