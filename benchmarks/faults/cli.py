"""`vp bench faults` and `vp bench soak`. What they need is imported when they run."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from benchmarks.options import Deadline, FrameRate
from vp_mqtt.cli.common_options import Bundle, Json


def faults(
    *,
    frames: Annotated[int, typer.Option(min=9, max=1_000_000, help="frames announced under each fault")] = 300,
    fps: FrameRate = 10.0,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="cause only this fault; may be repeated")
    ] = None,
    hold: Annotated[
        float | None, typer.Option(min=0, max=3600, help="seconds that a fault lasts (default: as long as it needs)")
    ] = None,
    bundle: Bundle = "fashion-mnist",
    deadline_ms: Deadline = 250.0,
    json: Json = False,
) -> None:
    """Break boards, links, clocks, fusion node and broker, one after the other, and count lost and late frames."""
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
            typer.echo(f"{outcome.fault.name}: {outcome.fault.text}", err=True)
    if json:
        report = {"frames": frames, "fps": fps, "deadline_ms": deadline_ms, "faults": [o.as_dict() for o in outcomes]}
        typer.echo(json_module.dumps(report))
    else:
        Console().print(faults_table(outcomes))


def soak(
    *,
    minutes: Annotated[float, typer.Option(min=0.2, max=10_000, help="duration, in minutes")] = 30.0,
    cameras: Annotated[int, typer.Option(min=1, max=64, help="cameras on the one fusion node")] = 1,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second of each camera")] = 10.0,
    seed: Annotated[int, typer.Option(help="random seed of the faults")] = 1,
    calm: Annotated[bool, typer.Option(help="cause no faults")] = False,
    deaf: Annotated[bool, typer.Option(help="add a subscriber that does not read")] = False,
    bundle: Bundle = "fashion-mnist",
    deadline_ms: Deadline = 250.0,
    json: Json = False,
) -> None:
    """Run a site for a long time under random faults, and sample memory, threads and file descriptors."""
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
    report = run_soak(settings)
    if json:
        typer.echo(json_module.dumps(report))
        return
    for key, value in report.items():
        typer.echo(f"{key}: {value}")
