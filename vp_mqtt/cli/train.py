"""`vp train` and `vp export`. torch and OpenCV are imported when a command runs."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt import logs
from vp_mqtt.cli.data import Data, Root
from vp_mqtt.errors import UserError

Seed = Annotated[int, typer.Option(min=0, help="of everything that chance decides")]

# glibc gives large blocks back to the kernel after every step and takes them anew: on a CPU, half of the time.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "67108864",
}


def need_torch() -> None:
    """Say what to install where torch is missing.

    Raises:
        UserError: torch is missing.
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError("training needs torch: `pip install vp-mqtt[train]`")


def _with_malloc_settings() -> None:
    """Start this program again with the allocator set up: glibc reads its settings only at the start."""
    if sys.platform == "linux" and not any(name in os.environ for name in _MALLOC):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **_MALLOC})  # noqa: S606


def train(
    data: Data,
    *,
    out: Annotated[Path, typer.Option(help="folder for the checkpoint and the history")],
    root: Root = None,
    family: Annotated[str, typer.Option(help="small, medium, paper, paper-7, base, or a TOML file")] = "small",
    epochs: Annotated[int, typer.Option(min=1, max=10_000)] = 10,
    batch: Annotated[int, typer.Option(min=2, max=65_536, help="pictures in a step")] = 128,
    seed: Seed = 0,
    pretrained: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="weights to start from, for every width: a bundle by name or folder, the folder of a training, "
            "ImageNet weights of MobileNetV2 (.npz, .h5, .safetensors, .pt, .pth; FILE@128: trained at 128 pixels), or "
            "'imagenet' to fetch them",
        ),
    ] = None,
    convention: Annotated[
        str | None,
        typer.Option(help="how a file's were trained: tensorflow (default for .npz) or torchvision (timm's, too)"),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="a training whose result is to be learned from, such as the base model's")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="few-pictures, small-pictures, or a TOML file with the parts of the recipe")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="one part of the recipe, such as mixup=0")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the checkpoint in --out")] = False,
) -> None:
    """Train a family on labelled pictures."""
    need_torch()
    _with_malloc_settings()
    from rich.console import Console  # noqa: PLC0415

    from vp_mqtt.training import datasets, presets  # noqa: PLC0415
    from vp_mqtt.training.builder import build_trainer  # noqa: PLC0415
    from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint, Origin  # noqa: PLC0415
    from vp_mqtt.training.pretrained.starting_weights import short_name, weights_of  # noqa: PLC0415
    from vp_mqtt.training.pretrained.weight_files import CONVENTIONS  # noqa: PLC0415
    from vp_mqtt.training.progress import progress_for  # noqa: PLC0415
    from vp_mqtt.training.recipe import read_recipe  # noqa: PLC0415

    logs.set_up(json_lines=False, level="info")
    if not resume and (out / CHECKPOINT_NAME).exists():
        raise UserError(f"--out {out}: there is a checkpoint already; go on with --resume, or name another folder")
    if convention is not None and convention not in CONVENTIONS:
        raise UserError(f"--convention {convention}: write {' or '.join(CONVENTIONS)}")
    dataset = datasets.load(data, root, seed)
    before = Checkpoint.load(out).origin if resume else None
    lesson = Checkpoint.load(teacher) if teacher else None
    if before and before.teacher and not lesson:
        raise UserError(f"--resume: this training has a teacher ({before.teacher}): name it with --teacher again")
    files = pretrained or []
    origin = Origin(
        family=presets.load_family(family),
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=read_recipe(
            recipe,
            assignments or [],
            epochs=epochs,
            batch=batch,
            seed=seed,
            k=min(3, max(1, len(dataset.classes) // 2)),
        ),
        pretrained=", ".join(short_name(file) for file in files) or (before.pretrained if before else None),
        teacher=lesson.summary() if lesson else None,
    )
    weights = [] if resume else weights_of(files, convention, origin.family)
    training = build_trainer(
        origin, dataset, out, weights=weights, teacher=lesson, progress=progress_for(Console(stderr=True))
    )
    if resume:
        training.resume()
    logs.LOGGER.info(
        "%d variants on '%s': %d pictures to learn from, %d to validate, %d classes",
        len(origin.family.variants),
        dataset.name,
        len(dataset.train),
        len(dataset.validation),
        len(dataset.classes),
    )
    training.run()


def export(
    checkpoint: Annotated[Path, typer.Argument(help="the checkpoint, or the folder of a training")],
    *,
    out: Annotated[Path, typer.Option(help="the bundle's folder")],
    name: Annotated[str | None, typer.Option(help="the bundle's name; by default the data set's")] = None,
    weights: Annotated[str, typer.Option(help="how weights are stored: float16, float32 or int8")] = "float16",
    fit: Annotated[
        bool, typer.Option("--fit", help="fit temperatures and the votes' weights on the validation part")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="the data of the training: for int8 and --fit, which find a named set by themselves, and to judge the "
            "bundle for its manifest"
        ),
    ] = None,
    root: Root = None,
) -> None:
    """Write a trained family as a bundle: a manifest and one ONNX model per variant."""
    need_torch()
    if weights not in {"float16", "float32", "int8"}:
        raise UserError(f"--weights {weights}: write float16, float32 or int8")
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.bundle_names import bundle_name  # noqa: PLC0415
    from vp_mqtt.training.checkpoint import Checkpoint  # noqa: PLC0415
    from vp_mqtt.training.export import export as write_bundle  # noqa: PLC0415

    trained = Checkpoint.load(checkpoint)
    origin = trained.origin
    name = bundle_name(name, origin.dataset)
    if data is None and origin.dataset in datasets.NAMED and (fit or weights == "int8"):
        data = origin.dataset
    dataset = datasets.load(data, root, origin.recipe.seed) if data is not None else None
    exported = write_bundle(trained, out, name=name, weights=weights, fit=fit, dataset=dataset)  # type: ignore[arg-type]
    if exported.note:
        typer.echo(exported.note, err=True)
    typer.echo(
        f"{out}: {len(exported.manifest.variants)} variants, {exported.total_bytes / 1e6:.2f} MB, digest "
        f"{exported.manifest.short_digest.hex()}, at most {exported.largest_difference:.1e} away from torch"
    )
