"""`vp eval`, `vp samples` and `vp check-data`: none needs torch. OpenCV is imported when a command runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt.cli.common_options import Json
from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from vp_mqtt.bundle.manifest import Manifest
    from vp_mqtt.training.evaluation.evaluate import Evaluation

EXIT_UNUSABLE = 1

_SETS = "caltech101, cifar10, cifar100, fashion-mnist, flowers102, food101, stanford-dogs, svhn"

Data = Annotated[str, typer.Argument(help=f"a folder of class folders, or the name of a data set: {_SETS}")]
Root = Annotated[
    Path | None,
    typer.Option(help="where a named data set is: its files as published, or train/CLASS and test/CLASS"),
]

_TOLD_KS = (1, 2, 3, 5, 10, 20, 50, 100, 200)
_TOLD_FILES = 20


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise UserError(f"--k {text}: write how many classes a vote holds, or several such numbers, such as 1,3,5")
    return numbers


def evaluate(
    bundle: Annotated[str, typer.Argument(help="a bundle's folder, or the name of one in the box")],
    data: Data,
    *,
    root: Root = None,
    k: Annotated[
        str | None,
        typer.Option("--k", "-k", metavar="3 or 1,3,5", help="classes in a vote; by default what the bundle says"),
    ] = None,
    jpeg: Annotated[
        int | None, typer.Option(min=1, max=100, help="send every picture through JPEG of this quality first")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="judge by all pictures, not by those held out: for data not trained on")
    ] = False,
    plots: Annotated[
        Path | None, typer.Option(help="folder to draw the confusion matrix and the cost of dead boards into")
    ] = None,
    json: Json = False,
) -> None:
    """Evaluate a bundle on held-out pictures: each variant, and the fused label for any subset of them and any k."""
    ks = _numbers(k)
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.evaluation import plots as drawing  # noqa: PLC0415
    from vp_mqtt.training.evaluation.evaluate import evaluate_bundle  # noqa: PLC0415

    if plots is not None:
        drawing.need_matplotlib()
    opened = open_bundle(bundle)
    for number in ks or ():
        opened.manifest.check_k(number, "--k")
    # The split must be that of the training, or pictures that were learned from would be judged on.
    seed = int(opened.manifest.provenance.get("seed", 0))
    judged = datasets.load_evaluation_set(data, root, seed, everything=everything)
    pictures = judged.for_classes(opened.manifest.classes)
    learned = opened.manifest.provenance.get("dataset")
    if judged.is_cut and learned != judged.name:
        typer.echo(
            f"judging by a sixth of '{judged.name}', as if it had been trained on; the bundle was trained on "
            f"'{learned or 'unknown'}': --all judges by all of it",
            err=True,
        )
    result = evaluate_bundle(opened, pictures, ks=ks, jpeg_quality=jpeg)
    drawn = drawing.write_plots(result, opened.manifest.classes, opened.manifest.name, plots) if plots else []
    if json:
        about = {"bundle": opened.manifest.name, "data": judged.name, "seed": seed, "all": everything}
        typer.echo(json_module.dumps(about | result.as_dict() | {"plots": [str(path) for path in drawn]}))
        return
    _tell(result, opened.manifest, f"{result.images} {'' if everything else 'held-out '}pictures of '{judged.name}'")
    for path in drawn:
        typer.echo(f"drawn: {path}")


def _tell(result: Evaluation, manifest: Manifest, what: str) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False)
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
    told = [k for k in result.by_k if k in _TOLD_KS or k == max(result.by_k) or len(result.by_k) <= len(_TOLD_KS)]
    console.print("by k: " + ", ".join(f"{k}: {result.by_k[k]:.2%}" for k in told), soft_wrap=True)


def samples(
    data: Data,
    *,
    out: Annotated[Path, typer.Option(help="the folder to write CLASS/INDEX.png to")],
    root: Root = None,
    bundle: Annotated[
        str | None, typer.Option(help="draw from what this bundle's training held out: a folder, or a name in the box")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="that the training had; without --bundle, 0")] = None,
    per_class: Annotated[int, typer.Option(min=1, help="pictures of each class")] = 20,
) -> None:
    """Write a few held-out pictures of each class, chosen at random, for a camera node to play."""
    if bundle is not None and seed is not None:
        raise UserError("--seed: the bundle knows the seed of its training; leave one of --seed and --bundle out")
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.datasets.samples import write_samples  # noqa: PLC0415

    # The split must be that of the training, or pictures that were learned from would be shown as held out.
    known = int(open_bundle(bundle).manifest.provenance.get("seed", 0)) if bundle is not None else seed or 0
    judged = datasets.load_evaluation_set(data, root, known)
    typer.echo(f"{write_samples(judged, out, per_class, known)} pictures in {out}")


def check_data(
    data: Data,
    *,
    root: Root = None,
    seed: Annotated[int, typer.Option(min=0, help="of the split, as in training")] = 0,
    json: Json = False,
) -> None:
    """Read every picture once, and list unusable pictures and duplicates that would spoil a result."""
    from vp_mqtt.training import datasets  # noqa: PLC0415
    from vp_mqtt.training.datasets.check import check_dataset  # noqa: PLC0415

    report = check_dataset(datasets.load(data, root, seed))
    if json:
        typer.echo(json_module.dumps(report.as_dict()))
    else:
        for line in report.lines(_TOLD_FILES):
            typer.echo(line)
    if not report.is_fine:
        raise typer.Exit(EXIT_UNUSABLE)
