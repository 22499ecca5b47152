"""`vp bench latency` and `vp bench device-path`. What they need is imported when they run."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from benchmarks.options import Family, FrameRate
from vp_mqtt.cli.common_options import Bundle, Classes, Json, Size, parse_size, require_torch
from vp_mqtt.errors import UserError

_Runtimes = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="onnxruntime, openvino, or all that are installed; may be repeated"),
]
_Threads = Annotated[
    list[int] | None, typer.Option(min=1, max=64, help="threads of the runtime; may be repeated (default: 1 and 2)")
]
_Precisions = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="float32 or int8; may be repeated (default: both)")
]


def _print_progress(text: str) -> None:
    typer.echo(text, err=True)


def latency(
    *,
    family: Family = "paper",
    classes: Classes = 10,
    runs: Annotated[int, typer.Option(min=1, max=100_000, help="runs of each model; the median counts")] = 50,
    runtime: _Runtimes = None,
    threads: _Threads = None,
    precision: _Precisions = None,
    models: Annotated[bool, typer.Option("--models/--no-models", help="measure the models alone")] = True,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end/--no-end-to-end", help="measure from the camera's capture to the label")
    ] = True,
    bundle: Annotated[
        str | None,
        typer.Option(help="what runs end to end: a bundle's folder or name (default: the family, random weights)"),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="what the camera plays, as vp-camera --source (default: synthetic pictures)")
    ] = None,
    camera: Annotated[
        str,
        typer.Option(metavar="jpeg|encode", help="jpeg: the camera gets JPEGs, as from a webcam; encode: it encodes"),
    ] = "jpeg",
    size: Size = "640x480",
    frames: Annotated[
        int, typer.Option(min=3, max=100_000, help="frames end to end, with one variant alive and again with all")
    ] = 300,
    fps: FrameRate = 10.0,
    json: Json = False,
) -> None:
    """Measure the variants against MobileNetV2 1.0 at 224, and the running system from capture to label."""
    if models or (end_to_end and bundle is None):
        require_torch("building random models (--no-models --bundle NAME does without)")
    if camera not in {"jpeg", "encode"}:
        raise UserError(f"--camera {camera}: write jpeg or encode")
    frame_size = parse_size(size)
    from benchmarks.latency.measure import Playback, Selection, measure  # noqa: PLC0415
    from benchmarks.latency.report import print_latency  # noqa: PLC0415
    from vp_mqtt.site.selection import select_precisions, select_runtimes  # noqa: PLC0415

    selection = Selection(
        family=family,
        classes=classes,
        runs=runs,
        runtimes=select_runtimes(runtime or ["onnxruntime"]),
        threads=threads or [1, 2],
        precisions=select_precisions(precision or ["float32", "int8"]),
        measures_models=models,
    )
    playback = Playback(bundle, source, frames, fps, frame_size, passes_through=camera == "jpeg")
    report = measure(selection, playback if end_to_end else None, _print_progress)
    if json:
        typer.echo(json_module.dumps(report))
    else:
        print_latency(report)


def device_path(
    *,
    bundle: Bundle = "caltech101",
    runs: Annotated[int, typer.Option(min=1, help="runs of each call; the median counts")] = 40,
    json: Json = False,
) -> None:
    """Measure where a device's time goes, step by step, and what alternatives would change."""
    from benchmarks.latency.device_path import measure, print_report  # noqa: PLC0415

    report = measure(bundle, runs)
    if json:
        typer.echo(json_module.dumps(report))
    else:
        print_report(report)


def fusion_speed(
    *,
    frames: Annotated[int, typer.Option(min=100, max=1_000_000, help="frames of all cameras together")] = 5000,
    cameras: Annotated[int, typer.Option(min=1, max=256, help="cameras")] = 8,
    variants: Annotated[int, typer.Option(min=1, max=64, help="variants that vote on every frame")] = 6,
    runs: Annotated[int, typer.Option(min=1, max=100, help="runs; the median counts")] = 5,
    json: Json = False,
) -> None:
    """Count the votes per second that the fusion node handles on one core, without the network."""
    from statistics import median  # noqa: PLC0415

    from benchmarks.latency.fusion_speed import votes_per_second  # noqa: PLC0415

    speed = median(votes_per_second(frames, cameras=cameras, variants=variants) for _ in range(runs))
    if json:
        report = {"frames": frames, "cameras": cameras, "variants": variants, "votes_per_second": round(speed)}
        typer.echo(json_module.dumps(report))
    else:
        typer.echo(f"{speed:.0f} votes/s ({cameras} cameras, {variants} variants)")
