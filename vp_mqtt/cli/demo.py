"""`vp demo`. It imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.cli.common_options import Bundle, Json
from vp_mqtt.errors import UserError


def demo(
    *,
    frames: Annotated[int, typer.Option(min=1, help="number of frames that the camera publishes")] = 200,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second")] = 10.0,
    kill: Annotated[str, typer.Option(metavar="0,3", help="variants to kill (SIGKILL) half-way")] = "",
    bundle: Bundle = "fashion-mnist",
    source: Annotated[str, typer.Option(help="the camera's source, as for vp-camera --source")] = "samples",
    broker: Annotated[str, typer.Option(help="mosquitto, embedded, or auto: Mosquitto if it is installed")] = "auto",
    deadline_ms: Annotated[float, typer.Option(min=1, max=60_000, help="how long to wait for votes, in ms")] = 250.0,
    json: Json = False,
    picture: Annotated[Path | None, typer.Option(help="SVG file to save the last table and the summary to")] = None,
) -> None:
    """Run the whole system on this machine: broker, camera, fusion node and every variant, each in its own process."""
    if broker not in {"auto", "embedded", "mosquitto"}:
        raise UserError(f"--broker {broker}: write mosquitto, embedded or auto")
    try:
        killed = tuple(sorted({int(part) for part in kill.split(",") if part.strip()}))
    except ValueError:
        raise UserError(f"--kill {kill}: write the indices of variants, such as 0,3") from None
    from vp_mqtt.demo.run import DemoSettings, run  # noqa: PLC0415

    settings = DemoSettings(
        frames=frames,
        fps=fps,
        kill=killed,
        bundle=bundle,
        source=source,
        broker=broker,  # type: ignore[arg-type]
        deadline_ms=deadline_ms,
        json=json,
        picture=picture,
    )
    run(settings)
