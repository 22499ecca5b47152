"""`vp bench`. What a benchmark needs is imported when it runs."""

from __future__ import annotations

import importlib.util
import json as json_module
from typing import Annotated

import typer

from vp_mqtt.errors import UserError

_MAX_CLASSES = 65_536  # as in vp_mqtt.family, which would slow `vp --help` down

app = typer.Typer(help="Measure what a family costs, and how it fares.", no_args_is_help=True, add_completion=False)


@app.callback()
def bench() -> None:
    """Measure what a family costs, and how it fares."""


@app.command()
def models(
    *,
    family: Annotated[str, typer.Option(help="paper, paper-7, small, or a TOML file")] = "paper",
    classes: Annotated[int, typer.Option(min=2, max=_MAX_CLASSES, help="that the networks tell apart")] = 10,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Count parameters and multiply-accumulates of every variant, against MobileNetV2 1.0 at 224."""
    if importlib.util.find_spec("torch") is None:
        raise UserError("counting runs the networks in torch: `pip install vp-mqtt[train]`")
    from vp_mqtt.bench.models import compare  # noqa: PLC0415
    from vp_mqtt.learning.families import load_family  # noqa: PLC0415

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
