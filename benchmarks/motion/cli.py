"""`vp bench motion`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import FrameRate
from vp_mqtt.cli.common_options import Bundle, Json, Size, parse_size

_SCENES, _THINGS = 12, 10


def motion(
    *,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="photographs for the scenes (default: synthetic ones)")
    ] = None,
    bundle: Bundle = "caltech101",
    size: Size = "640x480",
    fps: FrameRate = 10.0,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="seconds of each measurement")] = 60.0,
    changes: Annotated[int, typer.Option(min=1, max=1000, help="changes of the scene")] = 20,
    frames: Annotated[int, typer.Option(min=1, max=10_000, help="still frames of each scene and disturbance")] = 40,
    seed: Annotated[int, typer.Option(help="seed of the choice of pictures")] = 1,
    json: Json = False,
) -> None:
    """Measure what the motion gate saves in a still scene, how soon it passes a change, and what it takes for one."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from benchmarks.motion import report  # noqa: PLC0415
    from benchmarks.motion.decisions import measure_decisions  # noqa: PLC0415
    from benchmarks.motion.scenes import load_scenes  # noqa: PLC0415
    from benchmarks.motion.site import SiteSettings, measure_site  # noqa: PLC0415
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415

    found = load_scenes(pictures, _SCENES + _THINGS, parse_size(size), seed)
    scenes, things = found[:_SCENES], found[_SCENES:]

    def say(text: str) -> None:
        typer.echo(text, err=True)

    settings = SiteSettings(bundle=bundle, fps=fps, seconds=seconds, changes=changes)
    result = {
        "size": size,
        "fps": fps,
        "seconds": seconds,
        "bundle": bundle,
        "site": measure_site(scenes[0], things, settings, say),
        "decisions": measure_decisions(scenes, things, frames, say),
        "machine": describe_machine(),
    }
    if json:
        typer.echo(json_module.dumps(result))
        return
    for heading, *rows in (report.costs(result), report.decisions(result)):
        table = Table(*heading)
        for row in rows:
            table.add_row(*(cell.replace("*", "") for cell in row))
        Console().print(table)
