"""The commands that run nodes, with a flag for every setting. What a node needs is imported when it runs."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from vp_mqtt.cli.settings_options import settings_command
from vp_mqtt.config.settings import CameraSettings, FusionSettings, VariantSettings, WatchSettings
from vp_mqtt.nodes import signals


def _camera(settings: CameraSettings) -> None:
    """Publish the frames of a webcam, video, stream or folder of pictures."""
    signals.hold()
    from vp_mqtt.nodes import camera  # noqa: PLC0415

    camera.run(settings)


def _variant(settings: VariantSettings) -> None:
    """Run one variant of a family on the frames of a site, and publish its votes."""
    signals.hold()
    from vp_mqtt.nodes import variant  # noqa: PLC0415

    variant.run(settings)


def _fusion(settings: FusionSettings) -> None:
    """Fuse the votes of the variants into one label for every frame."""
    signals.hold()
    from vp_mqtt.nodes import fusion  # noqa: PLC0415

    fusion.run(settings)


def _watch(settings: WatchSettings, *, json: bool) -> None:
    """Show the labels of a site as they come: a live table on a terminal, else a line each."""
    signals.hold()
    from vp_mqtt.cli import watch  # noqa: PLC0415

    watch.run(settings, json_lines=json)


def _flag(name: str, text: str) -> inspect.Parameter:
    option = typer.Option("--" + name, help=text)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option])


camera_command = settings_command(CameraSettings, _camera)
variant_command = settings_command(VariantSettings, _variant)
fusion_command = settings_command(FusionSettings, _fusion)
watch_command = settings_command(WatchSettings, _watch, [_flag("json", "one JSON object a line")])
