"""`vp bench`. What a benchmark needs is imported when it runs."""

from __future__ import annotations

import importlib.util
import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.footprint.cli import footprint
from benchmarks.latency.cli import Classes, Family, latency
from vp_mqtt.cli.boards import plan, speed
from vp_mqtt.errors import UserError

_Bundle = Annotated[str, typer.Option(help="the family: a bundle's folder, or the name of one in the box")]
_Deadline = Annotated[float, typer.Option(min=1, max=60_000, help="how long votes are waited for, in ms")]
_Json = Annotated[bool, typer.Option("--json", help="print one JSON object instead of a table")]

app = typer.Typer(
    help="Measure what a family costs, and how the running system fares.", no_args_is_help=True, add_completion=False
)


@app.callback()
def bench() -> None:
    """Measure what a family costs, and how the running system fares."""


@app.command()
def models(
    *,
    family: Family = "paper",
    classes: Classes = 10,
    json: _Json = False,
) -> None:
    """Count parameters and multiply-accumulates of every variant, against MobileNetV2 1.0 at 224."""
    if importlib.util.find_spec("torch") is None:
        raise UserError("counting runs the networks in torch: `pip install vp-mqtt[train]`")
    from vp_mqtt.training.cost import compare  # noqa: PLC0415
    from vp_mqtt.training.presets import load_family  # noqa: PLC0415

    report = compare(load_family(family), classes)
    if json:
        typer.echo(json_module.dumps(report.as_dict()))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("", "pixels", "width", "head", "params", "fewer", "MACs", "fewer")
    base = report.baseline
    table.add_row("base model", "224", "1.0", "1280", f"{base.params:,}", "", f"{base.macs / 1e6:.1f} M", "")
    for one in report.variants:
        table.add_row(
            f"variant {one.index}",
            str(one.resolution),
            str(one.alpha),
            str(one.head),
            f"{one.params:,}",
            f"{one.params_ratio:.2f} x",
            f"{one.macs / 1e6:.2f} M",
            f"{one.macs_ratio:.2f} x",
        )
    Console(highlight=False).print(f"family '{report.family}', {report.classes} classes", table)


app.command("latency")(latency)
app.command("footprint")(footprint)
app.command("speed")(speed)
app.command("plan")(plan)


@app.command()
def faults(
    *,
    frames: Annotated[int, typer.Option(min=9, max=1_000_000, help="frames announced under each fault")] = 300,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second")] = 10.0,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="make this fault only; may be repeated")
    ] = None,
    hold: Annotated[
        float | None, typer.Option(min=0, max=3600, help="seconds that a fault lasts; by default as long as it needs")
    ] = None,
    bundle: _Bundle = "fashion-mnist",
    deadline_ms: _Deadline = 250.0,
    json: _Json = False,
) -> None:
    """Break boards, links, clocks, fusion node and broker, one after the other, and tell what became of the frames."""
    from rich.console import Console  # noqa: PLC0415

    from benchmarks.faults.measure import FaultSettings, measure  # noqa: PLC0415
    from benchmarks.faults.report import faults_table  # noqa: PLC0415

    settings = FaultSettings(
        frames=frames, fps=fps, bundle=bundle, deadline_ms=deadline_ms, hold_s=hold, only=tuple(only or ())
    )
    outcomes = []
    for outcome in measure(settings):
        outcomes.append(outcome)
        if not json:
            typer.echo(f"{outcome.scenario.name}: {outcome.scenario.text}", err=True)
    if json:
        told = {"frames": frames, "fps": fps, "deadline_ms": deadline_ms, "faults": [o.as_dict() for o in outcomes]}
        typer.echo(json_module.dumps(told))
    else:
        Console().print(faults_table(outcomes))


@app.command()
def soak(
    *,
    minutes: Annotated[float, typer.Option(min=0.2, max=10_000, help="how long, in minutes")] = 30.0,
    cameras: Annotated[int, typer.Option(min=1, max=64, help="cameras on the one fusion node")] = 1,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second of each camera")] = 10.0,
    seed: Annotated[int, typer.Option(help="of the random faults")] = 1,
    calm: Annotated[bool, typer.Option(help="make no faults")] = False,
    deaf: Annotated[bool, typer.Option(help="add a subscriber that does not read")] = False,
    bundle: _Bundle = "fashion-mnist",
    deadline_ms: _Deadline = 250.0,
    json: _Json = False,
) -> None:
    """Run a site for long under random faults, and sample memory, threads and file descriptors of every process."""
    from benchmarks.faults.soak import SoakSettings, run_soak  # noqa: PLC0415

    settings = SoakSettings(
        minutes=minutes,
        cameras=cameras,
        fps=fps,
        seed=seed,
        has_faults=not calm,
        has_deaf_subscriber=deaf,
        bundle=bundle,
        deadline_ms=deadline_ms,
    )
    told = run_soak(settings)
    if json:
        typer.echo(json_module.dumps(told))
        return
    for key, value in told.items():
        typer.echo(f"{key}: {value}")


@app.command("fusion")
def fusion_rules(
    bundle: Annotated[str, typer.Argument(help="a bundle's folder, or the name of one in the box")],
    data: Annotated[str, typer.Argument(help="what it was trained on: a folder of class folders, or a data set")],
    *,
    root: Annotated[Path | None, typer.Option(help="where a named data set is")] = None,
    k: Annotated[int | None, typer.Option(min=1, help="classes in a vote; by default what the bundle says")] = None,
    json: _Json = False,
) -> None:
    """Fuse a bundle's votes by other rules and weights than the paper's, and tell how often each is right."""
    from benchmarks.accuracy.fusion_rules import try_rules  # noqa: PLC0415
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415

    opened = open_bundle(bundle)
    manifest = opened.manifest
    if k is not None:
        manifest.check_k(k, "--k")
    dataset = datasets.load(data, root, int(manifest.provenance.get("seed", 0)))
    results = try_rules(opened, dataset, k or manifest.k)
    if json:
        typer.echo(json_module.dumps({"k": k or manifest.k, "rules": [result.as_dict() for result in results]}))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("residual", "weights", "validation", "test", "half alive")
    for one in results:
        table.add_row(one.residual, one.weights, f"{one.validation:.2%}", f"{one.test:.2%}", f"{one.half:.2%}")
    Console(highlight=False).print(table)


@app.command()
def compare(
    *,
    single: Annotated[
        Path | None, typer.Option(help="a training of the base model, which model parallelism cuts, too")
    ] = None,
    cp: Annotated[
        list[Path] | None, typer.Option(help="a training of a class-parallel family, one per number of boards")
    ] = None,
    vp: Annotated[str | None, typer.Option(help="bundle of variant parallelism: a folder, or one in the box")] = None,
    data: Annotated[
        str | None, typer.Option(help="pictures to play, and to judge trained weights by: a data set, or a folder")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="where a named data set is")] = None,
    boards: Annotated[str, typer.Option(metavar="2,4,6", help="numbers of boards")] = "2,4,6",
    links: Annotated[
        str, typer.Option(metavar="ethernet,wifi,lossy", help="what boards are connected by; or loopback")
    ] = "ethernet,wifi,lossy",
    precision: Annotated[
        str, typer.Option(metavar="float32,int8", help="of the feature maps of model parallelism; or float16")
    ] = "float32,int8",
    board_cpu: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="share of one core that a board has; default: see docs")
    ] = None,
    frames: Annotated[int, typer.Option(min=8, max=100_000, help="frames in each measurement")] = 40,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second, less for what is slower")] = 4.0,
    deadline_ms: _Deadline = 1000.0,
    seed: Annotated[int, typer.Option(help="of the pictures, and of which boards die")] = 0,
    plots: Annotated[Path | None, typer.Option(help="folder to draw the figures into")] = None,
    json: _Json = False,
) -> None:
    """Compare variant parallelism with the single network, model and class parallelism, on emulated boards.

    Weights that are not given are random: they take the same time.
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError("the networks are built in torch: `pip install vp-mqtt[train]`")
    from benchmarks.comparison.cli import Choice, run  # noqa: PLC0415

    choice = Choice(
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
        json=json,
    )
    run(choice)
