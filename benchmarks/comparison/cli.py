"""`vp bench compare`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import Deadline, Root
from vp_mqtt.cli.common_options import Json, require_torch

_Single = Annotated[Path | None, typer.Option(help="a training of the base model, which model parallelism cuts, too")]
_ClassParallel = Annotated[
    list[Path] | None, typer.Option(help="a training of a class-parallel family, one per number of boards")
]
_Pictures = Annotated[
    str | None, typer.Option(help="pictures to play, and to evaluate trained weights on: a data set or a folder")
]


def compare(
    *,
    single: _Single = None,
    cp: _ClassParallel = None,
    vp: Annotated[str | None, typer.Option(help="bundle of variant parallelism: a folder, or a bundled one")] = None,
    data: _Pictures = None,
    root: Root = None,
    boards: Annotated[str, typer.Option(metavar="2,4,6", help="numbers of boards")] = "2,4,6",
    links: Annotated[
        str, typer.Option(metavar="ethernet,wifi,lossy", help="links of the boards; or loopback")
    ] = "ethernet,wifi,lossy",
    precision: Annotated[
        str, typer.Option(metavar="float32,int8", help="of the feature maps of model parallelism; or float16")
    ] = "float32,int8",
    board_cpu: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="share of one core that a board has (default: see docs)")
    ] = None,
    frames: Annotated[int, typer.Option(min=8, max=100_000, help="frames in each measurement")] = 40,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second; fewer for slower systems")] = 4.0,
    deadline_ms: Deadline = 1000.0,
    seed: Annotated[int, typer.Option(help="random seed of the pictures, and of which boards die")] = 0,
    plots: Annotated[Path | None, typer.Option(help="folder for plots")] = None,
    json: Json = False,
) -> None:
    """Compare variant parallelism with the single network, model and class parallelism, on emulated boards.

    Weights that are not given are random, which does not change response times.
    """
    require_torch("building the networks")
    from benchmarks.comparison.run import CompareRequest, run  # noqa: PLC0415

    request = CompareRequest(
        single=single,
        cp=tuple(cp or ()),
        vp=vp,
        data=data,
        root=root,
        boards=boards,
        links=links,
        precisions=precision,
        board_cpu=board_cpu,
        frames=frames,
        fps=fps,
        deadline_ms=deadline_ms,
        seed=seed,
        plots=plots,
    )
    report = run(request, lambda text: typer.echo(text, err=True))
    if json:
        typer.echo(json_module.dumps(report.as_dict()))
        return
    from rich.console import Console  # noqa: PLC0415

    from benchmarks.comparison.report import results_table  # noqa: PLC0415

    for line in report.cannot:
        typer.echo(line)
    Console(highlight=False).print(results_table(report.results))
    for path in report.plots:
        typer.echo(f"plot: {path}")
