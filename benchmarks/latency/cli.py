"""`vp bench latency`. What it needs is imported when it runs."""

from __future__ import annotations

import importlib.util
import json as json_module
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from vp_mqtt.bundle.manifest import FamilySpec
    from vp_mqtt.training.random_family import RandomModel

MAX_CLASSES = 65_536  # as in vp_mqtt.bundle.manifest, which would slow `vp --help` down
_LEAST_SIDE, _LARGEST_SIDE = 16, 8192

Family = Annotated[str, typer.Option(help="paper, paper-7, small, or a TOML file")]
Classes = Annotated[int, typer.Option(min=2, max=MAX_CLASSES, help="that the networks tell apart")]
Size = Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="of the camera's frames")]


def size_of(text: str) -> tuple[int, int]:
    """Return width and height that `--size` names, in pixels.

    Raises:
        UserError: it does not name a size.
    """
    width, cross, height = text.lower().partition("x")
    if cross and width.isdecimal() and height.isdecimal():
        size = int(width), int(height)
        if min(size) >= _LEAST_SIDE and max(size) <= _LARGEST_SIDE:
            return size
    raise UserError(f"--size {text}: write WIDTHxHEIGHT, such as 640x480, each {_LEAST_SIDE} to {_LARGEST_SIDE} pixels")


def latency(
    *,
    family: Family = "paper",
    classes: Classes = 10,
    runs: Annotated[int, typer.Option(min=1, max=100_000, help="of each model; the median counts")] = 50,
    runtime: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="onnxruntime, openvino, or all that are installed; may be repeated"),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, max=64, help="of the runtime; may be repeated (default: 1 and 2)")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="float32 or int8; may be repeated (default: both)"),
    ] = None,
    models: Annotated[bool, typer.Option("--models/--no-models", help="measure the models alone")] = True,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end/--no-end-to-end", help="measure from the camera's capture to the label")
    ] = True,
    bundle: Annotated[
        str | None,
        typer.Option(help="what runs end to end: a bundle's folder or name; by default the family at random weights"),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="what the camera plays, as vp-camera takes it; by default pictures made up")
    ] = None,
    camera: Annotated[
        str,
        typer.Option(
            metavar="jpeg|encode", help="jpeg: the camera gets JPEGs, as from a webcam; encode: it makes them itself"
        ),
    ] = "jpeg",
    size: Size = "640x480",
    frames: Annotated[
        int, typer.Option(min=3, max=100_000, help="end to end, with one variant alive and again with all")
    ] = 300,
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second")] = 10.0,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object instead of tables")] = False,
) -> None:
    """Measure the variants against MobileNetV2 1.0 at 224, and the running system from capture to label."""
    if (models or (end_to_end and bundle is None)) and importlib.util.find_spec("torch") is None:
        raise UserError(
            "building the models needs torch: `pip install vp-mqtt[train]`; without it: --no-models --bundle NAME"
        )
    frame_size = size_of(size)
    if camera not in {"jpeg", "encode"}:
        raise UserError(f"--camera {camera}: write jpeg or encode")
    from vp_mqtt.site.chosen import chosen_precisions, chosen_runtimes  # noqa: PLC0415
    from vp_mqtt.site.machine import machine  # noqa: PLC0415

    names = chosen_runtimes(runtime or ["onnxruntime"])
    precisions = chosen_precisions(precision or ["float32", "int8"])
    told: dict[str, Any] = {"family": family, "classes": classes, "models": [], "end_to_end": None}
    told["machine"] = machine()

    def tell(text: str) -> None:
        typer.echo(text, err=True)

    random: list[RandomModel] = []
    spec: FamilySpec | None = None
    if models or (end_to_end and bundle is None):
        from benchmarks.latency.models import compare_all, models_of  # noqa: PLC0415
        from vp_mqtt.training.presets import load_family  # noqa: PLC0415

        spec = load_family(family)
        built = models_of(spec, classes, precisions if models else precisions[:1], tell)
        random = built[precisions[0]][1:]
        if models:
            found = compare_all(built, names=names, threads=threads or [1, 2], runs=runs, tell=tell)
            told["models"] = [comparison.as_dict() for comparison in found]
    if end_to_end:
        from benchmarks.latency.end_to_end import EndToEndSettings, measure  # noqa: PLC0415

        with tempfile.TemporaryDirectory(prefix="vp-bench-") as temporary:
            played = bundle
            if played is None and spec is not None:
                from vp_mqtt.training.random_family import write_random_bundle  # noqa: PLC0415

                folder = Path(temporary) / spec.name
                folder.mkdir()
                write_random_bundle(folder, spec, random)
                played = str(folder)
            settings = EndToEndSettings(
                bundle=str(played),
                runtime=names[0],
                frames=frames,
                fps=fps,
                size=frame_size,
                source=source,
                passes_through=camera == "jpeg",
            )
            told["end_to_end"] = measure(settings, tell)
    if json:
        typer.echo(json_module.dumps(told))
        return
    from benchmarks.latency.report import print_latency  # noqa: PLC0415

    print_latency(told)
