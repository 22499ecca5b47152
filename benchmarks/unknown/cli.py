"""`vp bench strange-pictures` and `leave-out`. What they need is imported when they run."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import Root
from vp_mqtt.cli.common_options import Json, require_torch


def strange_pictures(
    out: Annotated[Path, typer.Argument(help="a new folder: it gets a folder for each kind")],
    *,
    count: Annotated[int, typer.Option(min=1, help="pictures of each kind")] = 500,
    blurred: Annotated[Path | None, typer.Option(help="folder with pictures, of which blurred ones are made")] = None,
) -> None:
    """Write pictures that show nothing: black frames, noise, textures, and blurred ones of a folder."""
    from benchmarks.unknown.strange_pictures import write_strange_pictures  # noqa: PLC0415

    for kind, number in write_strange_pictures(out, count, blurred).items():
        typer.echo(f"{out / kind}: {number} pictures")


def leave_out(
    data: Annotated[str, typer.Argument(help="a folder of class folders, or a named data set")],
    *,
    pretrained: Annotated[list[str], typer.Option(help="weights, as for `vp train`")],
    root: Root = None,
    family: Annotated[str, typer.Option(help="as for `vp train`")] = "paper",
    classes: Annotated[int, typer.Option(min=1, help="classes to leave out")] = 20,
    draws: Annotated[int, typer.Option(min=1, help="random choices of these classes")] = 20,
    alike: Annotated[
        list[str] | None,
        typer.Option(help="classes that show the same things, as A,B: left out or kept together; may be repeated"),
    ] = None,
    json: Json = False,
) -> None:
    """Leave classes out of linear classifiers, and measure how well their pictures are told from the others."""
    require_torch("training")
    from benchmarks.unknown.leave_out import leave_out as run  # noqa: PLC0415

    together = [group.split(",") for group in alike or ()]
    result = run(data, root, pretrained, family, classes=classes, draws=draws, alike=together)
    if json:
        typer.echo(json_module.dumps(result))
        return
    for number, one in enumerate(result["draws"]):
        unknown = one["unknown"]
        typer.echo(
            f"choice {number}: AUROC fused {unknown['auroc']['fused']:.4f}, best variant "
            f"{max(unknown['auroc']['variants']):.4f}; {unknown['accepted_at_95']['fused']:.1%} accepted"
        )


def small_families(
    data: Annotated[str, typer.Argument(help="a folder of class folders, or a named data set")],
    *,
    pretrained: Annotated[list[str], typer.Option(help="weights, as for `vp train`")],
    cache: Annotated[Path, typer.Option(help="folder for features, one for each data set and weights")],
    root: Root = None,
    draws: Annotated[int, typer.Option(min=1, help="random choices of classes and pictures")] = 20,
    json: Json = False,
) -> None:
    """Teach families of four classes of forty pictures, and measure how well their confidence is calibrated."""
    require_torch("training")
    from benchmarks.unknown.small_families import small_families as run  # noqa: PLC0415

    result = run(data, root, pretrained, cache, draws=draws)
    if json:
        typer.echo(json_module.dumps(result))
        return
    for number, one in enumerate([*result["draws"], result["together"]]):
        name = f"draw {number}" if number < draws else "together"
        typer.echo(
            f"{name}: accuracy {one['accuracy']:.1%}, calibration error {one['ece']:.1%}, of a perfect family "
            f"{one['ece_of_perfect']:.1%}"
        )
