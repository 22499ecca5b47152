"""`vp bench states`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import Root
from vp_mqtt.cli.common_options import Json


def _print_progress(text: str) -> None:
    typer.echo(text, err=True)


def states(
    data: Annotated[str, typer.Argument(help="the bundle's training data: a folder of class folders, or a data set")],
    others: Annotated[Path, typer.Argument(help="folder of pictures that show none of its classes")],
    *,
    bundle: Annotated[str, typer.Option(help="a bundle's folder, or the name of a bundled one")] = "caltech101",
    root: Root = None,
    objects: Annotated[int, typer.Option(min=2, help="objects that come and go before the camera")] = 60,
    keep: Annotated[Path | None, typer.Option(help="folder to keep the recorded votes in")] = None,
    json: Json = False,
) -> None:
    """Play real pictures that flicker to a family, and count the changes of the state against the true ones."""
    from benchmarks.states.grid import StatesBenchmark  # noqa: PLC0415
    from benchmarks.table_rows import states as rows  # noqa: PLC0415
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415

    opened = open_bundle(bundle)
    dataset = datasets.load(data, root, opened.manifest.split_seed)
    result = StatesBenchmark(opened, dataset, others, objects, keep).run(_print_progress)
    if json:
        typer.echo(json_module.dumps(result))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    heading, *body = rows(result)
    table = Table(*heading)
    for row in body:
        table.add_row(*row)
    Console(highlight=False).print(table)
