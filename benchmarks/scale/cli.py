"""`vp bench scale`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import Deadline
from vp_mqtt.cli.common_options import Json


def scale(
    *,
    cameras: Annotated[int, typer.Option(min=1, max=256, help="cameras of the largest load")] = 32,
    variants: Annotated[int, typer.Option(min=1, max=64, help="variants that vote on every frame")] = 6,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="how long each step lasts")] = 3.0,
    deadline_ms: Deadline = 250.0,
    quick: Annotated[bool, typer.Option("--quick", help="fewer points, and shorter steps")] = False,
    plot: Annotated[Path | None, typer.Option(help="PNG file for the curves; needs matplotlib")] = None,
    beside: Annotated[
        Path | None, typer.Option(help="JSON of an earlier run, which table and picture show as before", exists=True)
    ] = None,
    json: Json = False,
) -> None:
    """Measure how many cameras and variants one fusion node on one core carries, beside a bare client that counts."""
    from benchmarks.scale.plan import ScaleSettings, measure  # noqa: PLC0415
    from benchmarks.scale.report import draw, need_matplotlib, print_scale, read_report  # noqa: PLC0415
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415

    settings = ScaleSettings(
        cameras=cameras,
        variants=variants,
        curve_cameras=(1, 64) if quick else (1, 8, 32, 64),
        curve_variants=(2, 32) if quick else (2, 6, 16, 32),
        curve_votes=1200.0,
        seconds=min(seconds, 1.5) if quick else seconds,
        deadline_ms=deadline_ms,
    )
    if plot is not None:
        need_matplotlib()
    earlier = None if beside is None else read_report(beside)
    report = measure(settings, lambda text: typer.echo(text, err=True)) | {"machine": describe_machine()}
    reports = {"": report} if earlier is None else {"before": earlier, "after": report}
    if plot is not None:
        draw(reports, plot)
    if json:
        typer.echo(json_module.dumps(report))
    else:
        print_scale(reports)
