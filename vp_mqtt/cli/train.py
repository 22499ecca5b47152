"""`vp train`. torch and OpenCV are imported when it runs."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt import logs
from vp_mqtt.cli.common_options import require_torch
from vp_mqtt.cli.data import Data, Root, say_left_out
from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from vp_mqtt.bundle.manifest import FamilySpec
    from vp_mqtt.training.checkpoint import Checkpoint, Origin
    from vp_mqtt.training.datasets import Dataset
    from vp_mqtt.training.pretrained.weight_files import Convention
    from vp_mqtt.training.trainer import Trainer

Seed = Annotated[int, typer.Option(min=0, help="random seed")]

_Out = Annotated[Path, typer.Option(help="folder for the checkpoint and the history")]
_Family = Annotated[
    str | None,
    typer.Option(
        help="small, medium, paper, paper-7, mixed, narrow, base, or a TOML file (default: by the pictures' size)"
    ),
]
_Only = Annotated[
    str | None,
    typer.Option(
        metavar="0,2,..", help="train only these variants of --family; `vp merge` makes a bundle of several trainings"
    ),
]
_Epochs = Annotated[int | None, typer.Option(min=1, max=10_000, help="passes over the training set (default: 10)")]
_Batch = Annotated[
    int | None, typer.Option(min=2, max=65_536, help="pictures per training step (default: by their number)")
]
_Pretrained = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="initial weights, once per width: a bundle (name or folder), the folder of a training, ImageNet weights "
        "of MobileNetV2 (.npz, .h5, .safetensors, .pt, .pth; FILE@128: trained at 128 pixels), or 'imagenet' to "
        "download them",
    ),
]
_Convention = Annotated[
    str | None,
    typer.Option(
        help="how a file's network was trained: tensorflow (default for .npz and .h5) or torchvision (also timm)"
    ),
]
_Teachers = Annotated[
    list[Path] | None,
    typer.Option(
        "--teacher",
        help="a finished training to distil knowledge from, such as the base model's; given several times: from all",
    ),
]
_RecipeFile = Annotated[
    str | None, typer.Option("--recipe", help="few-pictures, small-pictures, or a TOML file with training parameters")
]
_Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="one parameter of the recipe, such as mixup=0")
]
_Resume = Annotated[bool, typer.Option("--resume", help="continue from the checkpoint in --out")]

_EPOCHS = 10
_PREPROCESSING = 2
"""The version that new trainings use."""

# By default glibc returns large blocks to the kernel after every step, only to request them again, and each thread has
# memory of its own: half of the time on a CPU.
_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "67108864",
}


def restart_with_malloc_settings() -> None:
    """Restart this program with allocator settings in the environment: glibc reads them only at start."""
    if sys.platform == "linux" and not any(name in os.environ for name in _MALLOC):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **_MALLOC})  # noqa: S606


def _open_folder(out: Path, *, resume: bool) -> Origin | None:
    """Return what the training in the folder is, if it is to be resumed; otherwise there must be none."""
    from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint  # noqa: PLC0415

    if resume:
        return Checkpoint.load(out).origin
    if (out / CHECKPOINT_NAME).exists():
        raise UserError(
            f"--out {out}: there is a checkpoint already; continue it with --resume, or name another folder"
        )
    return None


def _parse_convention(text: str | None) -> Convention | None:
    from vp_mqtt.training.pretrained.weight_files import CONVENTIONS  # noqa: PLC0415

    if text is None or text in CONVENTIONS:
        return text
    raise UserError(f"--convention {text}: write {' or '.join(CONVENTIONS)}")


def train(
    data: Data,
    *,
    out: _Out,
    root: Root = None,
    family: _Family = None,
    only: _Only = None,
    epochs: _Epochs = None,
    batch: _Batch = None,
    seed: Seed = 0,
    pretrained: _Pretrained = None,
    convention: _Convention = None,
    teachers: _Teachers = None,
    recipe_file: _RecipeFile = None,
    assignments: _Assignments = None,
    resume: _Resume = False,
) -> None:
    """Train a family on labelled pictures: with nothing else said, frozen first, then fine-tuned if that helps."""
    if only is not None and family is None:
        raise UserError(f"--only {only}: name the family, too, with --family")
    if not any([family, epochs, batch, convention, teachers, recipe_file, assignments]):
        from vp_mqtt.cli.train_own import is_automatic, train_own  # noqa: PLC0415

        if is_automatic(out, resumes=resume):
            train_own(data, out, root=root, seed=seed, pretrained=pretrained or [], resumes=resume)
            return
    require_torch("training")
    restart_with_malloc_settings()
    from rich.console import Console  # noqa: PLC0415

    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.builder import build_trainer  # noqa: PLC0415
    from vp_mqtt.training.checkpoint import Origin  # noqa: PLC0415
    from vp_mqtt.training.pretrained.starting_weights import read_starting_weights, short_name  # noqa: PLC0415
    from vp_mqtt.training.progress import progress_for  # noqa: PLC0415
    from vp_mqtt.training.recipe import read_recipe  # noqa: PLC0415

    logs.set_up(json_lines=False, level="info")
    resumed = _open_folder(out, resume=resume)
    file_convention = _parse_convention(convention)
    say_left_out((dataset := datasets.load(data, root, seed)).left_out)
    teacher_checkpoints = _load_teachers(teachers or [], resumed)
    spec, steps = _choose(family, only, batch, dataset, resumed)
    origin = Origin(
        family=spec,
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=read_recipe(recipe_file, assignments or [], epochs=epochs or _EPOCHS, seed=seed, **steps),
        pretrained=", ".join(short_name(file) for file in pretrained or [])
        or (resumed.pretrained if resumed else None),
        teacher="; ".join(teacher.summary() for teacher in teacher_checkpoints) or None,
        data=data if data in datasets.NAMED else str(Path(data).resolve()),
        root=None if root is None else str(root.resolve()),
    )
    if origin.recipe.seed != seed:
        origin = origin.model_copy(update={"split_seed": seed})
    weights = [] if resume else read_starting_weights(pretrained or [], file_convention, origin.family)
    progress = progress_for(Console(stderr=True))
    trainer = build_trainer(origin, dataset, out, weights=weights, teachers=teacher_checkpoints, progress=progress)
    if resume:
        trainer.resume()
    _run(trainer, len(origin.family.variants), dataset)


def _load_teachers(teachers: list[Path], resumed: Origin | None) -> list[Checkpoint]:
    from vp_mqtt.training.checkpoint import Checkpoint  # noqa: PLC0415

    if not teachers and resumed is not None and resumed.teacher:
        raise UserError(f"--resume: this training has a teacher ({resumed.teacher}): name it with --teacher again")
    return [Checkpoint.load(teacher) for teacher in teachers]


def _choose(
    family: str | None, only: str | None, batch: int | None, dataset: Dataset, resumed: Origin | None
) -> tuple[FamilySpec, dict[str, int]]:
    """Return the family, and batch, k and preprocessing: as given, as in the resumed training, or by the pictures."""
    from vp_mqtt.training import defaults, presets  # noqa: PLC0415

    if family is not None:
        spec = presets.load_family(family)
        if only is not None:
            spec = presets.choose_variants(spec, only)
    elif resumed is not None:
        spec = resumed.family
    else:
        spec = presets.load_family(defaults.family_for(defaults.usual_side(dataset.train)))
    if batch is None:
        batch = defaults.batch_for(len(dataset.train)) if resumed is None else resumed.recipe.batch
    version = _PREPROCESSING if resumed is None else resumed.recipe.preprocessing
    return spec, {"batch": batch, "k": min(3, max(1, len(dataset.classes) // 2)), "preprocessing": version}


def _run(trainer: Trainer, variants: int, dataset: Dataset) -> None:
    """Train, and say so if the family ends no better than one that always names the largest class."""
    from vp_mqtt.training.frozen.report import is_no_better_than_chance  # noqa: PLC0415

    logs.LOGGER.info(
        "%d variants on '%s': %d pictures to train on, %d to validate on, %d classes",
        *(variants, dataset.name, len(dataset.train), len(dataset.validation), len(dataset.classes)),
    )
    checkpoint = trainer.run()
    labels = dataset.validation.labels
    chance = Counter(labels.tolist()).most_common(1)[0][1] / len(labels)
    accuracy = checkpoint.history[-1]["fused"]
    if is_no_better_than_chance(accuracy, chance, len(labels)):
        logs.LOGGER.warning(
            "validation accuracy %.1f %% is no better than always naming one class (%.1f %%): start from pretrained "
            "weights (--pretrained), give more --epochs, or leave all flags out",
            *(100 * accuracy, 100 * chance),
        )
