"""`vp teach`. What it needs is imported when it runs."""

from __future__ import annotations

import json as json_module
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt import logs
from vp_mqtt.cli.common_options import Json, require_learning, require_torch, zoom_option
from vp_mqtt.cli.data import Data, Root, say_left_out, warn_of_changed
from vp_mqtt.errors import UserError
from vp_mqtt.plain_text import counted

if TYPE_CHECKING:
    from vp_mqtt.bundle.manifest import Manifest
    from vp_mqtt.training.datasets import Dataset
    from vp_mqtt.training.fine_tuning import TunedCopy
    from vp_mqtt.training.frozen.features import Watcher
    from vp_mqtt.training.frozen.start import Start
    from vp_mqtt.training.frozen.teach import Taught
    from vp_mqtt.training.progress import ProgressReporter

PRETRAINED_HELP = (
    "what to start from: a bundle (name or folder), the folder of a training, ImageNet weights of MobileNetV2 (.npz, "
    ".h5, .safetensors, .pt, .pth; FILE@128: trained at 128 pixels; once per width), or 'imagenet' to download them"
)

_SAY_TIME_AFTER_S = 1.0

_Pretrained = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help=f"{PRETRAINED_HELP} (default: caltech101; for small pictures cifar10)"),
]
_FineTune = Annotated[
    str | None,
    typer.Option(
        metavar="BUNDLE", help="fine-tune a copy of this bundle, which was taught the same classes; needs torch"
    ),
]
_Zoom = Annotated[float | None, zoom_option("1 or 1.15, by cross-validation")]


def teach(
    data: Data,
    *,
    out: Annotated[Path, typer.Option(help="the bundle's folder")],
    root: Root = None,
    name: Annotated[str | None, typer.Option(help="the bundle's name (default: from the data set's name)")] = None,
    pretrained: _Pretrained = None,
    before: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="evaluate this bundle, too, on the same held-out pictures")
    ] = None,
    fine_tune: _FineTune = None,
    zoom: _Zoom = None,
    seed: Annotated[int, typer.Option(min=0, help="random seed of the split, as in training")] = 0,
    json: Json = False,
    progress: Annotated[
        bool, typer.Option("--progress", help="say on stderr what is done, as JSON, one object per line")
    ] = False,
) -> None:
    """Teach a family classes of your own in seconds: its backbones stay as they are, only its classifiers learn."""
    require_learning()
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.bundle_names import choose_bundle_name  # noqa: PLC0415
    from vp_mqtt.training.frozen import report  # noqa: PLC0415
    from vp_mqtt.training.frozen.teach import teach as run  # noqa: PLC0415

    opened = None if before is None else open_bundle(before)
    if fine_tune is not None:
        _check_fine_tuning(has_others=bool(pretrained or before or zoom))
    dataset = datasets.load(data, root, seed)
    say_left_out(dataset.left_out)
    for flag, bundle in (("--before", before), ("--fine-tune", fine_tune)):
        if bundle is not None:
            _warn_of_learnt(
                flag, open_bundle(bundle).manifest, dataset, seed, lambda other: datasets.load(data, root, other)
            )
    chosen_name = choose_bundle_name(name, dataset.name)
    if fine_tune is not None:
        tuned = _fine_tune(dataset, fine_tune, out, name=chosen_name, data=data, seed=seed, says_progress=progress)
        say_tuned(tuned, out, json=json)
        return
    start = find_start(pretrained or [], dataset)
    taught = run(
        dataset,
        start,
        out,
        name=chosen_name,
        seed=seed,
        before=opened,
        zoom=zoom,
        watcher=progress_lines() if progress else Announcer().watcher(),
    )
    if json:
        typer.echo(json_module.dumps({"out": str(out), "start": start.name, **report.as_dict(taught)}))
        return
    say_taught(taught, out)


def _warn_of_learnt(flag: str, manifest: Manifest, dataset: Dataset, seed: int, load: Callable[[int], Dataset]) -> None:
    """Say on stderr if a bundle has learnt from pictures that it is to be evaluated on.

    Args:
        flag: that names the bundle.
        manifest: of the bundle.
        dataset: with the pictures that are held out now.
        seed: of their split.
        load: returns the data set as another seed splits it.
    """
    theirs = manifest.split_seed
    if "seed" not in manifest.provenance or manifest.provenance.get("dataset") != dataset.name:
        return
    pictures = len(dataset.everything())
    if theirs == seed and manifest.provenance.get("pictures", pictures) == pictures:
        return
    # Where authors or folders define the test part, it is the same for all seeds.
    others = load(theirs if theirs != seed else seed + 1).test
    unseen = {others.where(index) for index in range(len(others))}
    learnt = sum(dataset.test.where(index) not in unseen for index in range(len(dataset.test)))
    if learnt and theirs == seed:
        warn_of_changed(manifest, dataset.name, pictures, len(dataset.test))
    elif learnt:
        typer.echo(
            f"{flag}: this bundle was trained with --seed {theirs}, not {seed}, so that it may have learnt {learnt} of "
            f"the {len(dataset.test)} held-out pictures, and its accuracy may be too high: use --seed {theirs}",
            err=True,
        )


def _check_fine_tuning(*, has_others: bool) -> None:
    require_torch("fine-tuning")
    if has_others:
        raise UserError(
            "--fine-tune starts from its bundle and compares with it: leave out --pretrained, --before and --zoom"
        )


def _fine_tune(
    dataset: Dataset, bundle: str, out: Path, *, name: str, data: str, seed: int, says_progress: bool
) -> TunedCopy:
    from rich.console import Console  # noqa: PLC0415

    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training.fine_tuning import fine_tune_copy  # noqa: PLC0415
    from vp_mqtt.training.progress import ProgressLines, progress_for  # noqa: PLC0415

    if says_progress:
        reporter: ProgressReporter = ProgressLines(say_progress)
    else:
        logs.set_up(json_lines=False, level="info")
        reporter = progress_for(Console(stderr=True))
    return fine_tune_copy(dataset, open_bundle(bundle), out, name=name, data=data, seed=seed, progress=reporter)


def say_tuned(tuned: TunedCopy, out: Path, *, json: bool) -> None:
    """Print what fine-tuning has brought."""
    from vp_mqtt.training.frozen.report import compared  # noqa: PLC0415

    manifest, images = tuned.manifest, tuned.after.images
    if json:
        its: dict[str, object] = {"out": str(out), "bundle": manifest.name, "digest": manifest.short_digest.hex()}
        its |= {
            "classes": list(manifest.classes),
            "zoom": manifest.preprocessing.zoom,
            "seconds": round(tuned.seconds, 1),
        }
        typer.echo(json_module.dumps(its | compared(tuned.before, tuned.after)))
        return
    typer.echo(f"{out}: fine-tuned in {tuned.seconds:.0f} s, digest {manifest.short_digest.hex()}")
    typer.echo(
        f"accuracy on {counted(images, 'held-out picture')} {tuned.after.fused:.1%}, before {tuned.before.fused:.1%}"
    )
    if tuned.after.fused > tuned.before.fused:
        typer.echo(run_hint(out))
    else:
        typer.echo("no more pictures are right than before: keep the bundle that it started from")


def say_taught(taught: Taught, out: Path) -> None:
    """Print what was taught, and what to do next."""
    from vp_mqtt.training.frozen import report  # noqa: PLC0415

    manifest = taught.manifest
    typer.echo(
        f"{out}: {counted(len(manifest.variants), 'variant')}, digest {manifest.short_digest.hex()}, in "
        f"{taught.seconds:.0f} s"
    )
    for line in report.as_lines(taught):
        typer.echo(line)
    typer.echo(run_hint(out))


def run_hint(out: Path) -> str:
    """Return how a bundle is run."""
    quoted = shlex.quote(str(out))
    return f"run it: vp push {quoted}, or vp-fusion and each vp-node with --bundle {quoted}"


def find_start(pretrained: Sequence[str], dataset: Dataset) -> Start:
    """Return the backbones that `--pretrained` names, or those of the built-in bundle for pictures of this size.

    Raises:
        UserError: there are none.
    """
    from vp_mqtt.bundle.folder import builtin_bundles, open_bundle  # noqa: PLC0415
    from vp_mqtt.bundle.manifest import MANIFEST_NAME  # noqa: PLC0415
    from vp_mqtt.training import defaults  # noqa: PLC0415
    from vp_mqtt.training.frozen.start import start_from_bundle  # noqa: PLC0415

    names = list(pretrained) or [defaults.start_for(defaults.usual_side(dataset.train))]
    if len(names) == 1 and (names[0] in builtin_bundles() or (Path(names[0]) / MANIFEST_NAME).is_file()):
        return start_from_bundle(open_bundle(names[0]), Path(names[0]).name)
    require_torch("starting from weights")
    from vp_mqtt.training.frozen.pretrained import start_from_files  # noqa: PLC0415

    return start_from_files(names)


def progress_lines() -> Watcher:
    """Return a watcher that writes JSON to stderr for programs: stage, what is done, and how much there is."""
    from vp_mqtt.training.frozen.features import Watcher  # noqa: PLC0415

    return Watcher(on_progress=say_progress)


def say_progress(stage: str, done: int, total: int) -> None:
    """Say on stderr, for programs, what is done, and how much there is."""
    typer.echo(json_module.dumps({"stage": stage, "done": done, "total": total}), err=True)


class Announcer:
    """Says on stderr how long the work will take, where no progress bar shows it."""

    def __init__(self) -> None:
        """Start without a stage."""
        self._stage = ""
        self._began = 0.0
        self._has_said = False

    def watcher(self) -> Watcher:
        """Return a watcher that announces."""
        from vp_mqtt.training.frozen import features  # noqa: PLC0415

        return features.Watcher(on_progress=self._on_progress)

    def _on_progress(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._has_said = stage, now, False
        elif not self._has_said and now - self._began > _SAY_TIME_AFTER_S and done < total:
            self._has_said = True
            left = (now - self._began) / max(1, done) * (total - done)
            typer.echo(f"{stage}: {done} of {total}, about {left:.0f} s left", err=True)
