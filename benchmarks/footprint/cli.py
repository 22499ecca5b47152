"""`vp bench footprint` and `vp bench models`. What they need is imported when they run."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from benchmarks.options import Family, FrameRate
from vp_mqtt.cli.common_options import Bundle, Classes, Json, require_torch
from vp_mqtt.errors import UserError

_RUNTIMES = ("auto", "onnxruntime", "openvino")


def models(*, family: Family = "paper", classes: Classes = 10, json: Json = False) -> None:
    """Count parameters and multiply-accumulates of every variant, against MobileNetV2 1.0 at 224."""
    require_torch("counting")
    from benchmarks.footprint.report import print_models  # noqa: PLC0415
    from vp_mqtt.training.cost import compare  # noqa: PLC0415
    from vp_mqtt.training.presets import load_family  # noqa: PLC0415

    report = compare(load_family(family), classes)
    if json:
        typer.echo(json_module.dumps(report.as_dict()))
    else:
        print_models(report)


def footprint(
    *,
    bundle: Bundle = "fashion-mnist",
    variant: Annotated[int | None, typer.Option(min=0, help="the variant that runs (default: the last)")] = None,
    runtime: Annotated[str, typer.Option(metavar="NAME", help="as vp-node --runtime")] = "onnxruntime",
    frames: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="frames to label before memory is measured")
    ] = 1000,
    fps: FrameRate = 50.0,
    json: Json = False,
) -> None:
    """Measure what a board needs: disk, memory, threads, time to start, bytes on the wire."""
    if runtime not in _RUNTIMES:
        raise UserError(f"--runtime {runtime}: write {', '.join(_RUNTIMES)}")
    from benchmarks.footprint.measure import FootprintSettings, measure  # noqa: PLC0415
    from benchmarks.footprint.report import print_footprint  # noqa: PLC0415
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415

    settings = FootprintSettings(bundle=bundle, variant=variant, runtime=runtime, frames=frames, fps=fps)
    report = measure(settings, lambda text: typer.echo(text, err=True)) | {"machine": describe_machine()}
    if json:
        typer.echo(json_module.dumps(report))
    else:
        print_footprint(report)
