"""`vp bench labelling`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.cli.common_options import Json, require_learning


def labelling(
    data: Annotated[str, typer.Argument(help="a folder of class folders, or a named data set")],
    *,
    cache: Annotated[Path, typer.Option(help="file for the features: another run uses it")],
    bundle: Annotated[str, typer.Option(help="whose backbones are used; it must not know these pictures")] = "cifar10",
    variants: Annotated[int, typer.Option(min=2, help="how many of its variants, the fastest first")] = 3,
    per_class: Annotated[int, typer.Option(min=5, help="pictures of each class to start from")] = 10,
    labelled: Annotated[int, typer.Option(min=1, help="frames of the stream that are labelled")] = 50,
    seeds: Annotated[int, typer.Option(min=1, help="random divisions of the pictures")] = 5,
    json: Json = False,
) -> None:
    """Label frames that the page's queue proposes, or random ones, and compare what that teaches."""
    require_learning()
    from benchmarks.labelling.measure import run  # noqa: PLC0415
    from benchmarks.labelling.report import rows  # noqa: PLC0415

    result = run(data, bundle, variants, cache, per_class=per_class, labelled=labelled, seeds=list(range(seeds)))
    if json:
        typer.echo(json_module.dumps(result))
        return
    for row in rows(result):
        typer.echo("  ".join(row))
