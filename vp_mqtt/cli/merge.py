"""`vp merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.plain_text import counted

_Parts = Annotated[
    list[str],
    typer.Argument(
        metavar="BUNDLE[:0,1,..]",
        help="bundles (folders, or names of built-in ones), each with the variants to take from it (default: all)",
    ),
]


def merge(
    parts: _Parts,
    *,
    out: Annotated[Path, typer.Option(help="the bundle's folder")],
    name: Annotated[str | None, typer.Option(help="the bundle's name (default: the first one's)")] = None,
    preprocessing: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="prepare pictures by this version for all variants, whatever they had"),
    ] = None,
) -> None:
    """Merge variants of several bundles of the same classes into one bundle, such as those of several trainings."""
    from vp_mqtt.training.bundle_names import choose_bundle_name  # noqa: PLC0415
    from vp_mqtt.training.merge import merge as run  # noqa: PLC0415
    from vp_mqtt.training.merge import parse_part  # noqa: PLC0415

    chosen = [parse_part(part) for part in parts]
    given = None if name is None else choose_bundle_name(name, "")
    manifest = run(chosen, out, name=given, preprocessing=preprocessing)
    weights = {variant.weight for variant in manifest.variants}
    votes = "their votes have equal weights" if len(weights) == 1 else "the weights of their votes differ"
    typer.echo(
        f"{out}: {counted(len(manifest.variants), 'variant')}, {votes}, digest {manifest.short_digest.hex()}; "
        f"not calibrated yet: vp calibrate {out} {manifest.provenance.get('dataset', 'DATA')} --out FOLDER"
    )
