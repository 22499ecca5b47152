"""`vp train FOLDER` with nothing else said: frozen backbones first, then fine-tuning as far as it helps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vp_mqtt import logs
from vp_mqtt.cli.common_options import require_learning
from vp_mqtt.cli.data import say_left_out
from vp_mqtt.cli.teach import Announcer, find_start, say_taught
from vp_mqtt.errors import UserError
from vp_mqtt.learning_packages import missing_for_training
from vp_mqtt.plain_text import counted

if TYPE_CHECKING:
    from vp_mqtt.training.datasets import Dataset

BUNDLE = "bundle"
"""Name of the bundle's folder in that of the training."""


def is_automatic(out: Path, *, resumes: bool) -> bool:
    """Return whether the training in a folder is one that chooses for itself: a new one, or one that it began."""
    return not resumes or (out / BUNDLE).is_dir()


def train_own(
    data: str, out: Path, *, root: Path | None, seed: int | None, pretrained: Sequence[str], resumes: bool
) -> None:
    """Train a family, and write its bundle.

    Args:
        data: a folder of class folders, or a named data set.
        out: folder for the bundle, and for checkpoint and history of the fine-tuning.
        root: folder of a named data set.
        seed: random seed of the split and of the training; None for 0, or that of the training to be resumed.
        pretrained: what to start from.
        resumes: continue the fine-tuning in `out`.

    Raises:
        UserError: data or start cannot be used, or the folder is that of another training.
    """
    require_learning()
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets, defaults  # noqa: PLC0415
    from vp_mqtt.training.bundle_names import choose_bundle_name  # noqa: PLC0415
    from vp_mqtt.training.bundle_writer import check_replaceable  # noqa: PLC0415
    from vp_mqtt.training.frozen.teach import teach  # noqa: PLC0415

    logs.set_up(json_lines=False, level="info")
    bundle = out / BUNDLE
    if seed is None:
        seed = open_bundle(bundle).manifest.split_seed if resumes else 0
    if root is None and resumes:
        root = _root_of(out)
    dataset = datasets.load(data, root, seed)
    say_left_out(dataset.left_out)
    if not resumes:
        check_replaceable(bundle, dataset.classes)
        if (out / "checkpoint.pt").exists():
            raise UserError(
                f"--out {out}: there is a training already; continue it with --resume, or name another folder"
            )
        start = find_start(pretrained, dataset)
        typer.echo(
            f"{len(dataset.train)} pictures to train on, {len(dataset.validation)} to validate on, {len(dataset.test)} "
            f"held out, {len(dataset.classes)} classes; {counted(len(start.backbones), 'variant')}, from {start.name}"
        )
        taught = teach(
            dataset,
            start,
            bundle,
            name=choose_bundle_name(None, dataset.name),
            seed=seed,
            learns_validation=not defaults.can_tell_gain(dataset),
            watcher=Announcer().watcher(),
        )
        say_taught(taught, bundle)
    if not defaults.can_tell_gain(dataset):
        typer.echo(
            f"not fine-tuned: {counted(len(dataset.validation), 'validation picture')} could not tell whether that "
            f"helps; {defaults.FEWEST_TO_FINE_TUNE} can, which about {defaults.FEWEST_TO_FINE_TUNE * 14} pictures "
            "have in all"
        )
    elif missing := missing_for_training():
        typer.echo(f"not fine-tuned: that needs {' and '.join(missing)} (docs/training.md)")
    else:
        _fine_tune(dataset, data, out, root=root, seed=seed, resumes=resumes)


def _root_of(out: Path) -> Path | None:
    """Return the folder of the data set that the fine-tuning in a folder reads, where it has begun."""
    if missing_for_training() or not (out / "checkpoint.pt").exists():
        return None
    from vp_mqtt.training.checkpoint import Checkpoint  # noqa: PLC0415

    root = Checkpoint.load(out).origin.root
    return None if root is None else Path(root)


def _fine_tune(dataset: Dataset, data: str, out: Path, *, root: Path | None, seed: int, resumes: bool) -> None:
    from rich.console import Console  # noqa: PLC0415

    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.fine_tuning import EPOCHS, fine_tune  # noqa: PLC0415
    from vp_mqtt.training.progress import progress_for  # noqa: PLC0415

    if resumes and open_bundle(out / BUNDLE).manifest.provenance.get("epochs"):
        typer.echo(f"this training is finished already: the fine-tuned family is in {out / BUNDLE}")
        return
    typer.echo(
        f"fine-tuning: up to {EPOCHS} passes over {len(dataset.train)} pictures; the bundle above can be used meanwhile"
        ", and is replaced only by a better one. Ctrl-C stops, --resume continues"
    )
    result = fine_tune(
        dataset,
        out / BUNDLE,
        out,
        data=data if data in datasets.NAMED else str(Path(data).resolve()),
        root=None if root is None else root.resolve(),
        seed=seed,
        progress=progress_for(Console(stderr=True)),
        resumes=resumes and (out / "checkpoint.pt").exists(),
    )
    if result.before == 1.0:
        typer.echo(f"not fine-tuned: all {result.images} validation pictures are right already")
        return
    figures = f"{result.after:.1%} of {counted(result.images, 'validation picture')}, frozen {result.before:.1%}"
    kept = "the fine-tuned family is kept" if result.is_kept else "the frozen family is kept"
    typer.echo(f"fine-tuned {figures}: {kept} in {out / BUNDLE}")
