"""The commands. What a command needs is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt import __version__, home_assistant_cli, signals
from vp_mqtt.baselines import cli as baselines
from vp_mqtt.bench import cli as bench
from vp_mqtt.errors import UserError
from vp_mqtt.flags import run_app, settings_command
from vp_mqtt.learning import cli as learning
from vp_mqtt.learning import data_cli
from vp_mqtt.push import cli as push
from vp_mqtt.settings import CameraSettings, FusionSettings, VariantSettings, WatchSettings
from vp_mqtt.site import cli as site


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


app.command("train")(learning.train)
app.add_typer(bench.app, name="bench")
app.command("check-data")(data_cli.check_data)
app.command("eval")(data_cli.evaluate)
app.command("export")(learning.export)
app.command("samples")(data_cli.samples)
app.add_typer(baselines.app, name="baseline")
app.add_typer(site.app, name="site")
app.command("push", help=push.PUSH_HELP)(push.push_command)
app.command("keygen")(push.keygen)
app.command("home-assistant-remove", help=home_assistant_cli.REMOVE_HELP)(home_assistant_cli.remove_command)


@app.command()
def demo(
    *,
    frames: Annotated[int, typer.Option(min=1, help="frames that the camera publishes")] = 200,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second")] = 10.0,
    kill: Annotated[str, typer.Option(metavar="0,3", help="variants to kill (SIGKILL) half-way")] = "",
    bundle: Annotated[
        str, typer.Option(help="the family: a bundle's folder, or the name of one in the box")
    ] = "fashion-mnist",
    source: Annotated[str, typer.Option(help="what the camera plays, as vp-camera takes it")] = "samples",
    broker: Annotated[str, typer.Option(help="mosquitto, embedded, or auto: Mosquitto where it is installed")] = "auto",
    deadline_ms: Annotated[float, typer.Option(min=1, max=60_000, help="how long votes are waited for, in ms")] = 250.0,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object instead of tables")] = False,
    picture: Annotated[Path | None, typer.Option(help="SVG file to save the last table and the summary to")] = None,
) -> None:
    """Show the whole system on this machine: a broker, a camera, a fusion node and every variant as its own process."""
    if broker not in {"auto", "embedded", "mosquitto"}:
        raise UserError(f"--broker {broker}: write mosquitto, embedded or auto")
    try:
        killed = tuple(sorted({int(part) for part in kill.split(",") if part.strip()}))
    except ValueError:
        raise UserError(f"--kill {kill}: write the indices of variants, such as 0,3") from None
    from vp_mqtt.demo.run import Demo, DemoSettings  # noqa: PLC0415

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
    Demo(settings).run()


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
