"""`vp bench frames`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import FrameRate
from vp_mqtt.cli.common_options import Bundle, Json, Size, parse_size

_SCENES = 40


def frames(
    *,
    pictures: Annotated[
        Path, typer.Option(metavar="FOLDER", help="photographs, in folders that are called like the family's classes")
    ],
    bundle: Bundle = "caltech101",
    size: Size = "640x480",
    fps: FrameRate = 5.0,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="seconds of each measurement")] = 20.0,
    boards: Annotated[int, typer.Option(min=0, max=64, help="measure sites with one to so many boards")] = 6,
    link_mbit: Annotated[
        float | None, typer.Option(min=0.1, help="measure sites whose boards share a link of this rate, too, in Mbit/s")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="label so many pictures (default: all)")] = None,
    json: Json = False,
) -> None:
    """Measure frames as captured, encoded anew, and of a webcam's smaller mode: bytes, processor time, labels."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from benchmarks.frames import report  # noqa: PLC0415
    from benchmarks.frames.labels import measure_labels  # noqa: PLC0415
    from benchmarks.frames.site import SiteSettings, measure_site  # noqa: PLC0415
    from benchmarks.motion.scenes import load_scenes  # noqa: PLC0415
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415

    def say(text: str) -> None:
        typer.echo(text, err=True)

    settings = SiteSettings(bundle, fps, seconds, range(1, boards + 1))
    scenes = load_scenes(pictures, _SCENES, parse_size(size), 1)
    result = {
        "size": size,
        "fps": fps,
        "seconds": seconds,
        "bundle": bundle,
        "labels": measure_labels(pictures, bundle, parse_size(size), limit, say),
        "site": measure_site(scenes, settings, say),
        "machine": describe_machine(),
    }
    if link_mbit is not None:
        shared = replace(settings, link_mbit=link_mbit)
        result |= {"link_mbit": link_mbit, "behind_link": measure_site(scenes, shared, say)}
    if json:
        typer.echo(json_module.dumps(result))
        return
    tables = [report.labels(result), report.site(result)]
    if link_mbit is not None:
        tables.append(report.behind_link(result))
    for heading, *rows in tables:
        table = Table(*heading)
        for row in rows:
            table.add_row(*(cell.replace("*", "") for cell in row))
        Console().print(table)
