"""`vp bench accuracy`, `ablation`, `linear-classifier`, `fusion` and `pareto`. What they need is imported on use."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import Root
from vp_mqtt.cli.common_options import Json, require_torch


def _print_progress(text: str) -> None:
    typer.echo(text, err=True)


def accuracy(
    plan: Annotated[Path, typer.Argument(help="TOML file, such as benchmarks/plans/cifar10.toml")],
    *,
    out: Annotated[Path, typer.Option(help="folder for the trainings")],
    weights: Annotated[Path, typer.Option(help="folder with the weights that trainings start from")] = Path(),
    root: Root = None,
    only: Annotated[list[str] | None, typer.Option(help="make only this training; may be repeated")] = None,
    json: Json = False,
) -> None:
    """Train, export and evaluate the families and base models of a plan, and print a Markdown table."""
    from benchmarks.accuracy.plan import run_plan, table_rows  # noqa: PLC0415

    data, results = run_plan(plan, out=out, weights=weights, root=root, only=only or (), report=_print_progress)
    if json:
        typer.echo(json_module.dumps({"data": data, "trainings": results}))
        return
    typer.echo("| | pixels | params fewer | MACs fewer | accuracy | mean per class |\n|---|---|---|---|---|---|")
    for name, result in results.items():
        typer.echo("\n".join(table_rows(name, result)))


def ablation(
    data: Annotated[Path, typer.Argument(help="folder with train/CLASS and test/CLASS")],
    *,
    pretrained: Annotated[list[Path], typer.Option(help="ImageNet weights, one file per width: 0.35 and 1.0")],
    out: Annotated[Path, typer.Option(help="folder for the trainings")],
    train: Annotated[int, typer.Option(help="training pictures of each class")] = 800,
    test: Annotated[int, typer.Option(help="test pictures of each class")] = 500,
    epochs: Annotated[int, typer.Option(help="epochs of each training")] = 4,
    seeds: Annotated[int, typer.Option(help="trainings of each kind")] = 1,
    only: Annotated[str, typer.Option(help="train only the complete recipe, and parts whose name has this text")] = "",
    json: Json = False,
) -> None:
    """Measure what each part of the training recipe contributes."""
    from benchmarks.accuracy.ablation import AblationSettings, run_ablation  # noqa: PLC0415

    settings = AblationSettings(data, pretrained, out, train, test, epochs, seeds, only)
    means = run_ablation(settings, _print_progress)
    if json:
        about = {"train": train, "test": test, "epochs": epochs, "seeds": seeds}
        typer.echo(json_module.dumps({**about, "accuracy": means}))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("", "fused", "two alive", "alone")
    for name, mean in means.items():
        table.add_row(name, f"{mean['fused']:.2%}", f"{mean['two_alive']:.2%}", f"{mean['alone']:.2%}")
    Console(highlight=False).print(table)


def linear_classifier(
    data: Annotated[str, typer.Argument(help="a folder of class folders, or a named data set")],
    *,
    pretrained: Annotated[list[str], typer.Option(help="weights, as for `vp train`")],
    root: Root = None,
    family: Annotated[str, typer.Option(help="as for `vp train`")] = "paper",
    seeds: Annotated[int, typer.Option(min=1, help="classifiers of each variant; accuracies are means")] = 3,
    json: Json = False,
) -> None:
    """Train linear classifiers on the features that variants start from, and evaluate them."""
    require_torch("training")
    from benchmarks.accuracy.linear_classifier import train_classifiers  # noqa: PLC0415

    result = train_classifiers(data, root, pretrained, family, seeds)
    if json:
        typer.echo(json_module.dumps(result.as_dict()))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("pixels", "accuracy")
    for resolution, share in zip(result.resolutions, result.variants, strict=True):
        table.add_row(str(resolution), f"{share:.2%}")
    table.add_row("fused", f"{result.fused:.2%}")
    Console(highlight=False).print(table)


def fusion(
    bundle: Annotated[str, typer.Argument(help="a bundle's folder, or the name of a bundled one")],
    data: Annotated[str, typer.Argument(help="its training data: a folder of class folders, or a data set")],
    *,
    root: Root = None,
    k: Annotated[int | None, typer.Option(min=1, help="classes in a vote (default: the bundle's)")] = None,
    json: Json = False,
) -> None:
    """Fuse a bundle's votes by other rules and weights than the paper's, and evaluate each."""
    from benchmarks.accuracy.fusion_rules import evaluate_rules  # noqa: PLC0415
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415

    opened = open_bundle(bundle)
    manifest = opened.manifest
    if k is not None:
        manifest.check_k(k, "--k")
    dataset = datasets.load(data, root, manifest.split_seed)
    results = evaluate_rules(opened, dataset, k or manifest.k)
    if json:
        typer.echo(json_module.dumps({"k": k or manifest.k, "rules": [result.as_dict() for result in results]}))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("residual", "weights", "validation", "test", "half alive")
    for one in results:
        table.add_row(one.residual, one.weights, f"{one.validation:.2%}", f"{one.test:.2%}", f"{one.half:.2%}")
    Console(highlight=False).print(table)


def pareto(
    data: Annotated[str, typer.Argument(help="the bundles' training data: a folder of class folders, or a data set")],
    *,
    bundle: Annotated[list[str], typer.Option(metavar="NAME=BUNDLE", help="a family, or one network; repeat it")],
    root: Root = None,
    runs: Annotated[int, typer.Option(min=1, help="timed runs of each model")] = 60,
    plot: Annotated[Path | None, typer.Option(help="picture to write")] = None,
    json: Json = False,
) -> None:
    """Compare single networks with families of several boards: accuracy against the time of the slowest board."""
    from benchmarks.accuracy import pareto_report  # noqa: PLC0415
    from benchmarks.accuracy.pareto import evaluate  # noqa: PLC0415
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.training import datasets  # noqa: PLC0415

    named = {}
    for text in bundle:
        name, equals, place = text.partition("=")
        named[name] = open_bundle(place if equals else name)
    result = evaluate(named, datasets.load(data, root), runs)
    if plot is not None:
        pareto_report.draw(result, plot)
    if json:
        typer.echo(json_module.dumps(result))
        return
    for row in pareto_report.rows(result):
        typer.echo("  ".join(row))
