"""`vp bench footprint`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from vp_mqtt.errors import UserError

_RUNTIMES = ("auto", "onnxruntime", "openvino")


def footprint(
    *,
    bundle: Annotated[str, typer.Option(help="the family: a bundle's folder, or the name of one in the box")] = (
        "fashion-mnist"
    ),
    variant: Annotated[int | None, typer.Option(min=0, help="that runs (default: the last)")] = None,
    runtime: Annotated[str, typer.Option(metavar="NAME", help="as vp-node takes it")] = "onnxruntime",
    frames: Annotated[int, typer.Option(min=1, max=10_000_000, help="labelled before memory is looked at")] = 1000,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second")] = 50.0,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object instead of tables")] = False,
) -> None:
    """Measure what a board has to spend: disk, memory, threads, time to start, bytes on the wire."""
    if runtime not in _RUNTIMES:
        raise UserError(f"--runtime {runtime}: write {', '.join(_RUNTIMES)}")
    from benchmarks.footprint.measure import FootprintSettings, measure  # noqa: PLC0415
    from vp_mqtt.site.machine import machine  # noqa: PLC0415

    settings = FootprintSettings(bundle=bundle, variant=variant, runtime=runtime, frames=frames, fps=fps)
    told = measure(settings, lambda text: typer.echo(text, err=True)) | {"machine": machine()}
    if json:
        typer.echo(json_module.dumps(told))
    else:
        _print(told)


def _print(told: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False)
    install = told["install"]
    largest = ", ".join(f"{name} {mb:g}" for name, mb in list(install["distributions"].items())[:4])
    imports = ", ".join(f"{node} {one['s']:.2f}" for node, one in told["import"].items())
    lines = [
        f"installed: {install['mb']:g} MB (ours: {install['own_mb']:g} MB; {largest}, ..)",
        f"imports, s: {imports}",
        f"vp --help: {told['help_s']:.2f} s",
        f"vp-node, from its start to online: {told['start_to_online_s']:.2f} s",
        f"torch in a node: {'yes' if told['torch_is_mapped'] else 'no'}",
    ]
    console.print(*lines, sep="\n", soft_wrap=True)
    table = Table(f"after {told['frames']} frames", "memory, MB", "shared counted once", "threads", "CPU, ms a frame")
    for role, own in told["processes"].items():
        table.add_row(
            role, f"{own['rss_mb']:g}", f"{own['pss_mb']:g}", str(own["threads"]), f"{own['cpu_ms_per_frame']:g}"
        )
    console.print(table)
    table = Table("on the wire, bytes", "payload", "whole packet")
    for kind, sizes in told["wire"].items():
        table.add_row(kind, f"{sizes['payload_bytes']:g}", f"{sizes['packet_bytes']:g}")
    console.print(table)
