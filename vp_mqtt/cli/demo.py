"""`vp demo`. It imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.cli.common_options import Json
from vp_mqtt.cli.web import require_web
from vp_mqtt.config.defaults import DEFAULT_BUNDLE, DEMO_BUNDLE
from vp_mqtt.config.number_lists import whole_numbers
from vp_mqtt.errors import UserError

SAMPLES = "samples"  # as vp_mqtt.nodes.sources.SAMPLES_SOURCE, whose import would slow down `--help`


def demo(
    *,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="number of frames that the camera publishes (default: each picture of a folder once, with --kill once "
            "before and once after it; a video to its end; of a webcam or stream, 200; "
            "with --web until Ctrl-C)",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=1000, help="frames per second (default: 30 of the sample pictures, else and with --web 10)"
        ),
    ] = None,
    kill: Annotated[str, typer.Option(metavar="0,3", help="variants to kill (SIGKILL) half-way")] = "",
    bundle: Annotated[
        str | None,
        typer.Option(
            help=f"the family: a bundle's folder, or the name of a bundled one (default: {DEMO_BUNDLE}, and for your "
            f"own pictures {DEFAULT_BUNDLE})"
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            help="your own pictures: a folder (of CLASS/PICTURE, and the share of right labels is counted), a "
            "webcam's number, a video, an address; see vp-camera --source"
        ),
    ] = SAMPLES,
    broker: Annotated[str, typer.Option(help="mosquitto, embedded, or auto: Mosquitto if it is installed")] = "auto",
    deadline_ms: Annotated[float, typer.Option(min=1, max=60_000, help="how long to wait for votes, in ms")] = 250.0,
    json: Json = False,
    picture: Annotated[Path | None, typer.Option(help="SVG file to save the last table and the summary to")] = None,
    web: Annotated[bool, typer.Option("--web", help="show the page, whose address is printed; see `vp web`")] = False,
    listen: Annotated[str, typer.Option(help="address and port of the page")] = "127.0.0.1:8321",
) -> None:
    """Run the whole system on this machine: broker, camera, fusion node and every variant, each in its own process."""
    if broker not in {"auto", "embedded", "mosquitto"}:
        raise UserError(f"--broker {broker}: write mosquitto, embedded or auto")
    if web:
        require_web("--web")
    from vp_mqtt.demo.run import DemoSettings, run  # noqa: PLC0415

    settings = DemoSettings(
        frames=frames,
        fps=fps,
        kill=_parse_variants(kill),
        bundle=bundle or (DEMO_BUNDLE if source == SAMPLES else DEFAULT_BUNDLE),
        source=source,
        broker=broker,  # type: ignore[arg-type]
        deadline_ms=deadline_ms,
        json=json,
        picture=picture,
        web=listen if web else None,
    )
    run(settings)


def _parse_variants(text: str) -> tuple[int, ...]:
    chosen = whole_numbers(text)
    if text and not chosen:
        raise UserError(f"--kill {text}: write the indices of variants, such as 0,3")
    return tuple(sorted(set(chosen)))
