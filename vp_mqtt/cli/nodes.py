"""The commands that run nodes, with one flag per setting. A node's modules are imported when it runs."""

from __future__ import annotations

import contextlib
import json as json_module
import signal
from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.cli.common_options import Json
from vp_mqtt.cli.settings_options import keyword, settings_command
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.settings import FusionSettings, VariantSettings, WatchSettings
from vp_mqtt.nodes import native_output, signals


def _camera(settings: CameraSettings) -> None:
    """Publish the frames of a webcam, video, stream or image folder."""
    signals.hold()
    native_output.NATIVE_OUTPUT.capture()
    from vp_mqtt.nodes import camera  # noqa: PLC0415

    camera.run(settings)


def _snapshot(settings: CameraSettings, *, out: Path | None, regions: bool, json: bool) -> None:
    """Write one picture of the source to a file, turned and mirrored as it is published."""
    native_output.NATIVE_OUTPUT.capture()
    from vp_mqtt.nodes import snapshot  # noqa: PLC0415

    path = out if out is not None else Path(f"{settings.camera}.jpg")
    snapshot.check_not_source(path, settings)
    picture = snapshot.take_picture(settings)
    snapshot.write_picture(path, snapshot.draw_regions(picture, settings) if regions else picture)
    height, width = picture.shape[:2]
    found = {region.camera(settings.camera): region.rectangle.pixels(width, height) for region in settings.region}
    if json:
        typer.echo(json_module.dumps({"file": str(path), "width": width, "height": height, "regions": found}))
        return
    typer.echo(f"{path}: {width} x {height} pixels")
    for name, (left, top, right, bottom) in found.items():
        typer.echo(f"{name}: {right - left} x {bottom - top} pixels, from {left},{top} to {right},{bottom}")


def _variant(settings: VariantSettings) -> None:
    """Run one variant of a family on a site's frames and publish its votes."""
    signals.hold()
    native_output.NATIVE_OUTPUT.capture()
    from vp_mqtt.nodes import variant  # noqa: PLC0415

    variant.run(settings)


def _fusion(settings: FusionSettings) -> None:
    """Fuse the variants' votes into one label for every frame."""
    signals.hold()
    from vp_mqtt.nodes import fusion  # noqa: PLC0415

    fusion.run(settings)


def _watch(settings: WatchSettings, *, json: bool, states: bool) -> None:
    """Show a site's labels as they arrive: in a live table on a terminal, otherwise one line each."""
    # A shell starts its background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        from vp_mqtt.cli import watch  # noqa: PLC0415

        watch.run(settings, json_lines=json, states_only=states)


_JSON = keyword(
    "json",
    Annotated[bool, typer.Option("--json", help="print each label as a JSON object, one per line")],
    default=False,
)
_STATES = keyword(
    "states",
    Annotated[bool, typer.Option("--states", help="print states when they change, and no labels; also with --json")],
    default=False,
)

_SNAPSHOT_OPTIONS = [
    keyword(
        "out",
        Annotated[Path | None, typer.Option(metavar="FILE", help="a .jpg or .png file (default: CAMERA.jpg)")],
    ),
    keyword("regions", Annotated[bool, typer.Option("--regions", help="draw where the regions lie")], default=False),
    keyword("json", Json, default=False),
]

camera_command = settings_command(CameraSettings, _camera)
snapshot_command = settings_command(CameraSettings, _snapshot, _SNAPSHOT_OPTIONS)
variant_command = settings_command(VariantSettings, _variant)
fusion_command = settings_command(FusionSettings, _fusion)
watch_command = settings_command(WatchSettings, _watch, [_JSON, _STATES])
