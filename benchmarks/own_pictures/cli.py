"""`vp bench own-pictures`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import Root
from vp_mqtt.cli.common_options import Json, require_torch
from vp_mqtt.config.number_lists import whole_numbers
from vp_mqtt.errors import UserError


def own_pictures(
    data: Annotated[str, typer.Argument(help="a folder of class folders, or a named data set")],
    *,
    pretrained: Annotated[list[str], typer.Option(help="weights of widths 0.35 and 1.0, as for `vp train`")],
    cache: Annotated[Path, typer.Option(help="folder for features: a run that was interrupted continues with them")],
    root: Root = None,
    classes: Annotated[str, typer.Option(help="how many classes, separated by commas")] = "4,10,20,50",
    pictures: Annotated[str, typer.Option(help="how many pictures of each, separated by commas")] = "10,20,40",
    seeds: Annotated[
        str, typer.Option(help="random choices of classes and pictures, separated by commas")
    ] = "0,1,2,3,4",
    json: Json = False,
) -> None:
    """Train on a few pictures of a few classes: frozen families against the usual recipe of one network."""
    require_torch("training")
    from benchmarks.own_pictures.report import print_rows  # noqa: PLC0415
    from benchmarks.own_pictures.run import run  # noqa: PLC0415

    numbers = [_numbers(text) for text in (classes, pictures, seeds)]
    result = run(data, root, pretrained, cache, classes=numbers[0], pictures=numbers[1], seeds=numbers[2])
    if json:
        typer.echo(json_module.dumps(result))
        return
    print_rows(result)


def _numbers(text: str) -> list[int]:
    numbers = whole_numbers(text)
    if not numbers:
        raise UserError(f"{text}: write numbers, separated by commas")
    return numbers
