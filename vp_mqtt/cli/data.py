"""`vp eval`, `vp samples` and `vp check-data`, which need no torch. OpenCV is imported when a command runs."""

from __future__ import annotations

import json as json_module
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt.cli.common_options import Json
from vp_mqtt.config.number_lists import whole_numbers
from vp_mqtt.errors import UserError
from vp_mqtt.plain_text import counted

if TYPE_CHECKING:
    from rich.console import Console

    from vp_mqtt.bundle.manifest import Manifest
    from vp_mqtt.nodes.frame_encoder import FrameEncoder
    from vp_mqtt.training.datasets import EvaluationSet, Pictures
    from vp_mqtt.training.evaluation.results import Evaluation, UnknownEvaluation

EXIT_UNUSABLE = 1

_SETS = "caltech101, cifar10, cifar100, fashion-mnist, flowers102, food101, stanford-dogs, svhn"

Data = Annotated[str, typer.Argument(help=f"a folder of class folders, or the name of a data set: {_SETS}")]
Root = Annotated[
    Path | None,
    typer.Option(help="folder of a named data set: its files as published, or train/CLASS and test/CLASS"),
]

_Ks = Annotated[
    str | None, typer.Option("--k", "-k", metavar="3 or 1,3,5", help="classes in a vote (default: the bundle's)")
]
_Jpeg = Annotated[
    int | None,
    typer.Option(
        min=1, max=100, help="as a camera with this --quality publishes the pictures (default: without --quality)"
    ),
]
_NoJpeg = Annotated[
    bool, typer.Option("--no-jpeg", help="pictures as stored: without a camera's JPEG and a board's decoding")
]
_Everything = Annotated[
    bool, typer.Option("--all", help="evaluate on all pictures, not only held-out ones: for data not used in training")
]
_Unknown = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        help="pictures that show none of the classes: how well are they told from the others? May be repeated",
    ),
]
_Plots = Annotated[
    Path | None, typer.Option(help="folder for plots of the confusion matrix and of accuracy with dead boards")
]

_PRINTED_KS = (1, 2, 3, 5, 10, 20, 50, 100, 200)
_PRINTED_FILES = 20


def _parse_ks(text: str | None) -> list[int] | None:
    if text is None:
        return None
    numbers = whole_numbers(text)
    if not numbers or 0 in numbers:
        raise UserError(f"--k {text}: write the number of classes in a vote, or several numbers, such as 1,3,5")
    return numbers


def evaluate(
    bundle: Annotated[str, typer.Argument(help="a bundle's folder, or the name of a built-in one")],
    data: Data,
    *,
    root: Root = None,
    k: _Ks = None,
    jpeg: _Jpeg = None,
    no_jpeg: _NoJpeg = False,
    everything: _Everything = False,
    unknown: _Unknown = None,
    plots: _Plots = None,
    json: Json = False,
) -> None:
    """Evaluate a bundle on held-out pictures: each variant, and the fused label for any subset of them and any k."""
    ks = _parse_ks(k)
    if no_jpeg and jpeg is not None:
        raise UserError("--no-jpeg: give either --jpeg or --no-jpeg")
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.files import prepare_folder  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.evaluation import plots as drawing  # noqa: PLC0415
    from vp_mqtt.training.evaluation.evaluate import evaluate_bundle  # noqa: PLC0415

    if plots is not None:
        drawing.need_matplotlib()
        prepare_folder(plots, f"--plots {plots}")
    opened = open_bundle(bundle)
    for number in ks or ():
        opened.manifest.check_k(number, "--k")
    # The split must be the training's, or the evaluation would include pictures that were trained on.
    seed = opened.manifest.split_seed
    chosen = datasets.load_evaluation_set(data, root, seed, everything=everything)
    pictures = chosen.for_classes(opened.manifest.classes)
    _warn_of(chosen, opened.manifest.provenance.get("dataset"))
    if chosen.is_cut:
        all_of_it = datasets.load_evaluation_set(data, root, seed, everything=True).pictures
        warn_of_changed(opened.manifest, chosen.name, len(all_of_it), len(pictures))
    foreign = {name: _read_foreign(folder) for name, folder in _named(unknown or ()).items()}
    encoder = None if no_jpeg else _camera_encoder(jpeg)
    result = evaluate_bundle(opened, pictures, ks=ks, encoder=encoder, foreign=foreign)
    drawn = drawing.write_plots(result, opened.manifest.classes, opened.manifest.name, plots) if plots else []
    if json:
        about = {"bundle": opened.manifest.name, "data": chosen.name, "seed": seed, "all": everything}
        about["jpeg"] = None if no_jpeg else jpeg or "as published"
        typer.echo(json_module.dumps(about | result.as_dict() | {"plots": [str(path) for path in drawn]}))
        return
    kind = "picture" if everything else "held-out picture"
    _print_tables(result, opened.manifest, f"{counted(result.images, kind)} of '{chosen.name}'")
    for path in drawn:
        typer.echo(f"plot: {path}")


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """Return folders by their names, or, where two have one, by their paths."""
    names = Counter(folder.resolve().name for folder in folders)
    return {folder.resolve().name if names[folder.resolve().name] == 1 else str(folder): folder for folder in folders}


def _read_foreign(folder: Path) -> Pictures:
    """Return the pictures in the folder of `--unknown`."""
    from vp_mqtt.training.datasets.folders import loose_pictures  # noqa: PLC0415

    if not folder.is_dir():
        raise UserError(f"--unknown {folder}: there is no such folder")
    pictures, left_out = loose_pictures(folder)
    say_left_out(left_out)
    return pictures


def _warn_of(chosen: EvaluationSet, trained_on: str | float | None) -> None:
    if chosen.is_cut and trained_on != chosen.name:
        typer.echo(
            f"evaluating on a sixth of '{chosen.name}', as if the rest had been trained on; the bundle was trained on "
            f"'{trained_on or 'unknown'}': --all evaluates on all of it",
            err=True,
        )
    say_left_out(chosen.left_out)


def warn_of_changed(manifest: Manifest, name: str, pictures: int, held_out: int) -> None:
    """Say on stderr if a seed splits the pictures otherwise than when a bundle was trained, since their number differs.

    Args:
        manifest: of the bundle.
        name: of the data set.
        pictures: in all of it.
        held_out: of these, in the part to evaluate on.
    """
    before = manifest.provenance.get("pictures", pictures)
    if manifest.provenance.get("dataset") == name and before != pictures:
        typer.echo(
            f"'{name}' has {counted(pictures, 'picture')}, and had {before} when this bundle was trained: they are "
            f"split in another way now, so that it may have learnt some of the {held_out} held-out ones, and its "
            "accuracy may be too high. Pictures in a folder `test` beside `train` stay held out",
            err=True,
        )


def _camera_encoder(quality: int | None) -> FrameEncoder:
    """Return the encoder of a camera node with this quality, or without one in its settings."""
    from vp_mqtt.config.camera_settings import CameraSettings  # noqa: PLC0415
    from vp_mqtt.nodes.frame_encoder import FrameEncoder  # noqa: PLC0415

    default = int(CameraSettings.model_fields["quality"].default)
    return FrameEncoder(size=None, quality=quality or default, passes_through=quality is None)


def say_left_out(left_out: Mapping[str, int]) -> None:
    """Say on stderr how many files of a folder of pictures are not used, by kind."""
    from vp_mqtt.inference.picture_folders import describe_left_out  # noqa: PLC0415

    if left_out:
        typer.echo(f"left out: {describe_left_out(left_out)}", err=True)


def _print_tables(result: Evaluation, manifest: Manifest, what: str) -> None:
    from rich.table import Table  # noqa: PLC0415

    from vp_mqtt.cli.console import report_console  # noqa: PLC0415

    console = report_console()
    console.print(f"{what}, votes of k = {result.k} classes", soft_wrap=True)
    table = Table("", "accuracy", "mean per class", "calibration error")
    kinds = (result.accuracy, result.mean_per_class, result.ece)
    table.add_row("fused label", *(f"{kind.fused:.2%}" for kind in kinds))
    for variant in manifest.variants:
        title = f"variant {variant.index} ({variant.resolution} pixels)"
        table.add_row(title, *(f"{kind.variants[variant.index]:.2%}" for kind in kinds))
    console.print(table)
    table = Table("alive", "accuracy", "worst", "best")
    for size, alive in sorted(result.by_alive.items(), reverse=True):
        worst, best = (f"{one[0]:.2%} ({','.join(map(str, one[1]))})" for one in (alive.worst, alive.best))
        table.add_row(str(size), f"{alive.mean:.2%}", worst, best)
    console.print(table)
    is_short = len(result.by_k) <= len(_PRINTED_KS)
    printed = [k for k in result.by_k if is_short or k in _PRINTED_KS or k == max(result.by_k)]
    for name, unknown in result.unknown.items():
        _print_unknown(name, unknown, console)
    console.print("by k: " + ", ".join(f"{k}: {result.by_k[k]:.2%}" for k in printed), soft_wrap=True)


def _print_unknown(name: str, result: UnknownEvaluation, console: Console) -> None:
    from rich.table import Table  # noqa: PLC0415

    console.print(
        f"{counted(result.images, 'foreign picture')} of '{name}', told from those above by the known score",
        soft_wrap=True,
    )
    table = Table("", "AUROC", "foreign accepted", "accuracy of known kept")
    kinds = (result.auroc, result.accepted, result.accuracy)
    table.add_row("fused, 95% of known kept", *(f"{kind.fused:.2%}" for kind in kinds))
    best = max(range(len(result.auroc.variants)), key=lambda variant: result.auroc.variants[variant])
    table.add_row(f"best variant ({best}), 95% of known kept", *(f"{kind.variants[best]:.2%}" for kind in kinds))
    own = result.by_bundle
    if own is not None:
        accuracy = "-" if own.accuracy is None else f"{own.accuracy:.2%}"
        title = f"bundle's threshold {own.threshold:g}, {own.kept:.2%} of known kept"
        table.add_row(title, "", f"{own.accepted:.2%}", accuracy)
    console.print(table)


def samples(
    data: Data,
    *,
    out: Annotated[Path, typer.Option(help="the folder to write CLASS/INDEX.png to")],
    root: Root = None,
    bundle: Annotated[
        str | None,
        typer.Option(help="choose from the pictures that this bundle's training held out (folder or built-in name)"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="random seed of the training (default without --bundle: 0)")
    ] = None,
    per_class: Annotated[int, typer.Option(min=1, help="pictures of each class")] = 20,
) -> None:
    """Write a few held-out pictures of each class, chosen at random, for a camera node to play."""
    if bundle is not None and seed is not None:
        raise UserError("--seed: the bundle records the seed of its training; give either --seed or --bundle")
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.datasets.samples import write_samples  # noqa: PLC0415

    # The split must be the training's, or pictures that were trained on would be taken for held-out ones.
    split_seed = open_bundle(bundle).manifest.split_seed if bundle is not None else seed or 0
    held_out = datasets.load_evaluation_set(data, root, split_seed)
    say_left_out(held_out.left_out)
    typer.echo(f"{counted(write_samples(held_out, out, per_class, split_seed), 'picture')} in {out}")


def check_data(
    data: Data,
    *,
    root: Root = None,
    seed: Annotated[int, typer.Option(min=0, help="random seed of the split, as in training")] = 0,
    json: Json = False,
) -> None:
    """Read every picture once, and list unusable pictures and duplicates that would spoil a result."""
    from vp_mqtt.nodes.native_output import NATIVE_OUTPUT  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.datasets.check import check_dataset  # noqa: PLC0415

    # Decoders print complaints without a file's name; the report names the files.
    NATIVE_OUTPUT.capture()
    report = check_dataset(datasets.load(data, root, seed, is_check=True))
    if json:
        typer.echo(json_module.dumps(report.as_dict()))
    else:
        for line in report.lines(_PRINTED_FILES):
            typer.echo(line)
    if not report.is_fine:
        raise typer.Exit(EXIT_UNUSABLE)
