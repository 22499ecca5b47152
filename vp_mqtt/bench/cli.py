"""`vp bench`: measurements of the running system. What a command needs is imported when it runs."""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

app = typer.Typer(help="Measure the running system.", no_args_is_help=True)

_Bundle = Annotated[str, typer.Option(help="the family: a bundle's folder, or the name of one in the box")]
_Deadline = Annotated[float, typer.Option(min=1, max=60_000, help="how long votes are waited for, in ms")]
_Json = Annotated[bool, typer.Option("--json", help="print one JSON object instead of a table")]


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

    from vp_mqtt.bench.faults import FaultSettings, measure  # noqa: PLC0415
    from vp_mqtt.bench.table import faults_table  # noqa: PLC0415

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
        typer.echo(json_format.dumps(told))
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
    from vp_mqtt.bench.soak import SoakSettings, run_soak  # noqa: PLC0415

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
        typer.echo(json_format.dumps(told))
        return
    for key, value in told.items():
        typer.echo(f"{key}: {value}")
