"""`vp export` and `vp calibrate`. torch and OpenCV are imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt.cli.common_options import require_learning, require_torch, zoom_option
from vp_mqtt.cli.data import Data, Root, say_left_out
from vp_mqtt.errors import UserError
from vp_mqtt.plain_text import counted

if TYPE_CHECKING:
    from vp_mqtt.bundle.manifest import Manifest
    from vp_mqtt.training.checkpoint import Origin
    from vp_mqtt.training.datasets import Dataset


Zoom = Annotated[float | None, zoom_option("what fits best on the validation part")]


def _data_of_training(origin: Origin, data: str | None, root: Path | None, *, needed: bool) -> Dataset | None:
    """Return the training's data, from the flags or where the training read it; None, with a warning, without it."""
    from vp_mqtt.training.export import load_data_of  # noqa: PLC0415

    try:
        return load_data_of(origin, data, root)
    except UserError as error:
        if data is not None or needed:
            raise
        reason = str(error)
    typer.echo(f"not calibrated, so no frame is unknown: {reason}; name the training's pictures with --data", err=True)
    return None


def export(
    checkpoint: Annotated[Path, typer.Argument(help="the checkpoint, or the folder of a training")],
    *,
    out: Annotated[Path, typer.Option(help="the bundle's folder")],
    name: Annotated[str | None, typer.Option(help="the bundle's name (default: from the data set's name)")] = None,
    weights: Annotated[
        str,
        typer.Option(help="stored weights: float16, float32 or int8-stored, to compute in float32; or int8, in 8 bits"),
    ] = "float16",
    fit: Annotated[
        bool, typer.Option("--fit", help="fit temperatures and vote weights on the validation part")
    ] = False,
    zoom: Zoom = None,
    data: Annotated[
        str | None,
        typer.Option(help="the training's data, to calibrate the bundle with (default: where the training read it)"),
    ] = None,
    root: Root = None,
) -> None:
    """Write a trained family as a bundle: a manifest and one ONNX model per variant."""
    require_torch("training")
    from vp_mqtt.training.bundle_names import choose_bundle_name  # noqa: PLC0415
    from vp_mqtt.training.checkpoint import Checkpoint  # noqa: PLC0415
    from vp_mqtt.training.export import WEIGHTS, export_bundle, needs_pictures  # noqa: PLC0415

    chosen = next((one for one in WEIGHTS if one == weights), None)
    if chosen is None:
        raise UserError(f"--weights {weights}: write one of {', '.join(WEIGHTS)}")
    trained = Checkpoint.load(checkpoint)
    if not trained.is_finished:
        typer.echo(f"{checkpoint}: {trained.progress()}", err=True)
    origin = trained.origin
    name = choose_bundle_name(name, origin.dataset)
    dataset = _data_of_training(origin, data, root, needed=fit or needs_pictures(chosen))
    exported = export_bundle(trained, out, name=name, weights=chosen, fit=fit, zoom=zoom, dataset=dataset)
    if exported.note:
        typer.echo(exported.note, err=True)
    typer.echo(
        f"{out}: {counted(len(exported.manifest.variants), 'variant')}, {exported.total_bytes / 1e6:.2f} MB, digest "
        f"{exported.manifest.short_digest.hex()}, probabilities differ from torch's by at most "
        f"{exported.largest_difference:.1e}"
    )
    _say_calibration(exported.manifest)


def calibrate(
    bundle: Annotated[str, typer.Argument(help="a bundle's folder, or the name of a built-in one")],
    data: Data,
    *,
    out: Annotated[Path, typer.Option(help="a new folder for the calibrated bundle")],
    zoom: Zoom = None,
    root: Root = None,
) -> None:
    """Calibrate a bundle that was exported without its pictures: zoom, confidence, and what is unknown."""
    require_learning()
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.calibrate import calibrate_bundle  # noqa: PLC0415

    opened = open_bundle(bundle)
    dataset = datasets.load(data, root, opened.manifest.split_seed)
    say_left_out(dataset.left_out)
    manifest = calibrate_bundle(opened, dataset, out, zoom)
    typer.echo(f"{out}: digest {manifest.short_digest.hex()}")
    _say_calibration(manifest)


def _say_calibration(manifest: Manifest) -> None:
    if manifest.preprocessing.zoom > 1:
        typer.echo(f"pictures are enlarged by {manifest.preprocessing.zoom:g}, and their centre is cropped")
    fitted = manifest.calibration
    if fitted is not None:
        typer.echo(
            f"calibrated on {counted(fitted.pictures, 'validation image')}: temperature "
            f"{fitted.temperatures[-1]:.2f}, unknown below a score of {fitted.thresholds[-1]:.3f}, "
            f"which keeps {fitted.kept:.0%} of the known"
        )
