"""`vp baseline ..`: what variant parallelism is compared with. What a command needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.comparators.settings import StageSettings
from vp_mqtt.cli.common_options import require_torch
from vp_mqtt.cli.settings_options import settings_command
from vp_mqtt.errors import UserError
from vp_mqtt.nodes import signals


def _run_stage(settings: StageSettings) -> None:
    """Run one stage of a network that was cut for model parallelism."""
    signals.hold()
    from benchmarks.comparators import stage_node  # noqa: PLC0415

    stage_node.run(settings)


stage = settings_command(StageSettings, _run_stage)


def cut(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint of a training of one network, such as the base model")],
    *,
    stages: Annotated[int, typer.Option(min=1, max=19, help="how many boards share the network")],
    out: Annotated[Path, typer.Option(help="the pipeline's folder")],
    balance: Annotated[
        str,
        typer.Option(help="macs: stages of equal cost; bytes: least network traffic, with stages at most 25 % uneven"),
    ] = "macs",
) -> None:
    """Cut a trained network at its block boundaries into stages, for model parallelism."""
    require_torch("cutting a network")
    if balance not in {"macs", "bytes"}:
        raise UserError(f"--balance {balance}: write macs or bytes")
    from benchmarks.comparators.partition import write_stages  # noqa: PLC0415
    from vp_mqtt.training.checkpoint import Checkpoint  # noqa: PLC0415
    from vp_mqtt.training.export import export_bundle  # noqa: PLC0415

    trained = Checkpoint.load(checkpoint)
    if len(trained.origin.family.variants) != 1:
        raise UserError(f"{checkpoint}: a family of several variants; model parallelism cuts one network")
    export_bundle(trained, out)
    resolution = trained.origin.family.variants[0].resolution
    (network,) = trained.trained_networks()
    for entry in write_stages(network, resolution, out, stages, balance):  # type: ignore[arg-type]
        size = "votes" if entry.output is None else f"{entry.output[0]} x {entry.output[1]} x {entry.output[2]} values"
        typer.echo(f"stage {entry.index}: blocks {entry.blocks[0]}..{entry.blocks[1] - 1}, {entry.macs:,} MACs, {size}")


def classes(
    *,
    classes: Annotated[int, typer.Option(min=2, help="number of classes of the data set")],
    boards: Annotated[int, typer.Option(min=1, help="how many boards share them")],
    out: Annotated[Path, typer.Option(help="TOML file for `vp train --family`")],
    resolution: Annotated[int, typer.Option(min=16, max=1024, help="of every board's network, in pixels")] = 224,
    alpha: Annotated[float, typer.Option(min=0.05, max=2, help="width multiplier")] = 0.35,
    head: Annotated[int, typer.Option(min=8, max=4096, help="filters before the classifier")] = 512,
) -> None:
    """Write a family for class parallelism: every board covers a share of the classes, and "none of mine"."""
    from benchmarks.comparators.class_parallel import class_parallel_family  # noqa: PLC0415
    from vp_mqtt.training.presets import family_as_toml  # noqa: PLC0415

    family = class_parallel_family(classes, boards, resolution=resolution, alpha=alpha, head=head)
    try:
        out.write_text(family_as_toml(family), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None
    for index, variant in enumerate(family.variants):
        typer.echo(f"board {index}: classes {', '.join(map(str, variant.knows or ()))}")
