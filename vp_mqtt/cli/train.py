"""`vp train`. torch and OpenCV are imported when it runs."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt import logs
from vp_mqtt.cli.common_options import require_torch
from vp_mqtt.cli.data import Data, Root, say_left_out
from vp_mqtt.errors import UserError
from vp_mqtt.plain_text import counted

if TYPE_CHECKING:
    from vp_mqtt.bundle.manifest import FamilySpec
    from vp_mqtt.training.checkpoint import Checkpoint, Origin
    from vp_mqtt.training.datasets import Dataset
    from vp_mqtt.training.pretrained.weight_files import Convention
    from vp_mqtt.training.recipe import Recipe
    from vp_mqtt.training.trainer import Trainer

_Out = Annotated[
    Path, typer.Option(help="folder for the checkpoint and the history; without other flags, also for the bundle")
]
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
_Seed = Annotated[
    int | None,
    typer.Option(min=0, help="random seed of the split into parts and of the training", show_default="0"),
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
_Resume = Annotated[
    bool, typer.Option("--resume", help="continue from the checkpoint in --out; other flags need not be repeated")
]

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
    seed: _Seed = None,
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
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: this is a file; name a folder")
    if not (teachers or resume) and any(one.partition("=")[0].strip() == "distilled" for one in assignments or []):
        raise UserError("--set distilled: this is a teacher's share of the loss; name the teacher with --teacher")
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

    logs.set_up(json_lines=False, level="info")
    resumed = _open_folder(out, resume=resume)
    file_convention = _parse_convention(convention)
    if seed is None:
        seed = 0 if resumed is None else resumed.seed_of_split
    if root is None and resumed is not None and resumed.root is not None:
        root = Path(resumed.root)
    say_left_out((dataset := datasets.load(data, root, seed)).left_out)
    folders, teacher_checkpoints = _load_teachers(teachers or [], resumed, seed)
    recipe = _choose_recipe(recipe_file, assignments or [], dataset, resumed, epochs=epochs, batch=batch, seed=seed)
    origin = Origin(
        family=_choose_family(family, only, dataset, resumed),
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=recipe,
        pretrained=", ".join(short_name(file) for file in pretrained or [])
        or (resumed.pretrained if resumed else None),
        teacher="; ".join(teacher.summary() for teacher in teacher_checkpoints) or None,
        data=data if data in datasets.NAMED else str(Path(data).resolve()),
        root=None if root is None else str(root.resolve()),
        teachers=folders,
        split_seed=None if recipe.seed == seed else seed,
    )
    weights = [] if resume else read_starting_weights(pretrained or [], file_convention, origin.family)
    progress = progress_for(Console(stderr=True))
    trainer = build_trainer(origin, dataset, out, weights=weights, teachers=teacher_checkpoints, progress=progress)
    if resume:
        trainer.resume()
    if trainer.epoch == trainer.epochs:
        done = f"this training is finished already, after {counted(trainer.epochs, 'epoch')}"
        typer.echo(f"{out}: {done}; {_next_step(out, dataset)}")
        return
    _run(trainer, out, origin, dataset)


def _load_teachers(folders: list[Path], resumed: Origin | None, seed: int) -> tuple[tuple[str, ...], list[Checkpoint]]:
    """Return the teachers and their folders: those that are given, or those of the resumed training."""
    from vp_mqtt.training.checkpoint import Checkpoint  # noqa: PLC0415

    if not folders and resumed is not None:
        if resumed.teacher and not resumed.teachers:
            raise UserError(f"--resume: this training has a teacher ({resumed.teacher}): name it with --teacher again")
        folders = [Path(folder) for folder in resumed.teachers]
    loaded = [Checkpoint.load(folder) for folder in folders]
    for folder, teacher in zip(folders, loaded, strict=True):
        if not teacher.is_finished:
            logs.LOGGER.warning("--teacher %s: %s", folder, teacher.progress())
        if teacher.origin.seed_of_split != seed:
            logs.LOGGER.warning(
                "--teacher %s: it was trained with --seed %d, not %d, and has learned from pictures that are held out "
                "here: the validation accuracy may be too high",
                *(folder, teacher.origin.seed_of_split, seed),
            )
    return tuple(str(folder.resolve()) for folder in folders), loaded


def _choose_family(family: str | None, only: str | None, dataset: Dataset, resumed: Origin | None) -> FamilySpec:
    """Return the family: as given, as in the resumed training, or by the pictures."""
    from vp_mqtt.training import defaults, presets  # noqa: PLC0415

    if family is not None:
        spec = presets.load_family(family)
        return spec if only is None else presets.choose_variants(spec, only)
    if resumed is not None:
        return resumed.family
    return presets.load_family(defaults.family_for(defaults.usual_side(dataset.train)))


def _choose_recipe(
    file: str | None,
    assignments: Sequence[str],
    dataset: Dataset,
    resumed: Origin | None,
    *,
    epochs: int | None,
    batch: int | None,
    seed: int,
) -> Recipe:
    """Return the recipe: as given, and what is not given as in the resumed training, or by the pictures."""
    from vp_mqtt.training import defaults  # noqa: PLC0415
    from vp_mqtt.training.recipe import read_recipe  # noqa: PLC0415

    values: dict[str, object] = {
        "epochs": _EPOCHS,
        "batch": defaults.batch_for(len(dataset.train)),
        "seed": seed,
        "k": min(3, max(1, len(dataset.classes) // 2)),
        "preprocessing": _PREPROCESSING,
    }
    if resumed is not None:
        values = resumed.recipe.model_dump()
    given = {"epochs": epochs, "batch": batch}
    values |= {name: value for name, value in given.items() if value is not None}
    return read_recipe(file, assignments, **values)


def _next_step(out: Path, dataset: Dataset) -> str:
    taken = (Path("bundles") / dataset.name).exists()
    bundle = f"bundles/{dataset.name}" if not taken else f"bundles/{dataset.name}-{out.name}"
    return f"make a bundle of it: vp export {shlex.quote(str(out))} --out {shlex.quote(bundle)}"


def _run(trainer: Trainer, out: Path, origin: Origin, dataset: Dataset) -> None:
    """Train, say what is next, and if the family ends no better than one that always names the largest class."""
    from vp_mqtt.training.frozen.report import is_no_better_than_chance  # noqa: PLC0415

    variants = len(origin.family.variants)
    logs.LOGGER.info(
        "%s on '%s': %s to train on, %d to validate on, %d classes",
        counted(variants, "variant"),
        *(dataset.name, counted(len(dataset.train), "picture"), len(dataset.validation), len(dataset.classes)),
    )
    try:
        checkpoint = trainer.run()
    except KeyboardInterrupt:
        done = f"after {trainer.epoch} of {trainer.epochs} epochs; --resume continues"
        typer.echo(f"stopped {done if trainer.epoch else 'in the first epoch, without a checkpoint'}", err=True)
        raise
    labels = dataset.validation.labels
    chance = Counter(labels.tolist()).most_common(1)[0][1] / len(labels)
    accuracy = checkpoint.history[-1]["fused"]
    if is_no_better_than_chance(accuracy, chance, len(labels)):
        logs.LOGGER.warning(
            "validation accuracy %.1f %%: by %s, it cannot be told from always naming one class (%.1f %%); "
            "%sgive more --epochs, or leave all flags out",
            *(100 * accuracy, counted(len(labels), "picture"), 100 * chance),
            "" if origin.pretrained else "start from pretrained weights (--pretrained), ",
        )
    typer.echo(f"{out}: {_next_step(out, dataset)}")
