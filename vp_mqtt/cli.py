"""The commands. What a command needs is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from vp_mqtt import __version__, signals
from vp_mqtt.flags import run_app, settings_command
from vp_mqtt.settings import CameraSettings, FusionSettings, VariantSettings, WatchSettings


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
    from vp_mqtt import watch  # noqa: PLC0415

    watch.run(settings, json_lines=json)


def _flag(name: str, text: str) -> inspect.Parameter:
    option = typer.Option("--" + name, help=text)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option])


camera_command = settings_command(CameraSettings, _camera)
variant_command = settings_command(VariantSettings, _variant)
fusion_command = settings_command(FusionSettings, _fusion)
watch_command = settings_command(WatchSettings, _watch, [_flag("json", "one JSON object a line")])

app = typer.Typer(
    help="Image recognition on a handful of cheap boards: variant parallelism over MQTT.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("camera", help=_camera.__doc__)(camera_command)
app.command("node", help=_variant.__doc__)(variant_command)
app.command("fusion", help=_fusion.__doc__)(fusion_command)
app.command("watch", help=_watch.__doc__)(watch_command)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _run_one(command: Callable[..., None], text: str | None) -> None:
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(help=text)(command)
    run_app(single)


def main() -> None:
    """Run `vp`."""
    run_app(app)


def camera_main() -> None:
    """Run `vp-camera`."""
    _run_one(camera_command, _camera.__doc__)


def node_main() -> None:
    """Run `vp-node`."""
    _run_one(variant_command, _variant.__doc__)


def fusion_main() -> None:
    """Run `vp-fusion`."""
    _run_one(fusion_command, _fusion.__doc__)
