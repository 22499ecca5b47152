"""`vp bench speed` and `vp bench plan`. What they need is imported when they run."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vp_mqtt.cli.common_options import Bundle, Classes, Json, Size, parse_size, require_torch
from vp_mqtt.config.defaults import DEFAULT_BUNDLE
from vp_mqtt.config.number_lists import whole_numbers
from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from vp_mqtt.bundle.manifest import Preprocessing
    from vp_mqtt.site.assignment import Assignment
    from vp_mqtt.site.speed import Candidate
    from vp_mqtt.training.equal_cost import EqualCost

_LEAST_WIDTH, _LARGEST_WIDTH = 0.05, 2.0  # as vp_mqtt.bundle.manifest.VariantSpec has it
_RUNS = 50


def _print_progress(text: str) -> None:
    typer.echo(text, err=True)


def speed(
    *,
    bundle: Bundle = DEFAULT_BUNDLE,
    family: Annotated[
        str | None,
        typer.Option(help="instead of a bundle, a family with random weights: paper, .., or a TOML file"),
    ] = None,
    classes: Classes = 10,
    runs: Annotated[int, typer.Option(min=1, max=100_000, help="runs of each variant; the median counts")] = _RUNS,
    runtime: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="onnxruntime or openvino; may be repeated (default: all installed)"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="threads of the runtime")] = 1,
    size: Size = "640x480",
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality of the frames")] = 90,
    name: Annotated[str | None, typer.Option(help="the board's name (default: its host name)")] = None,
    json: Json = False,
) -> None:
    """Measure how fast this board runs each variant, in the fastest runtime installed."""
    frame_size = parse_size(size)
    from vp_mqtt.site.selection import select_runtimes  # noqa: PLC0415
    from vp_mqtt.site.speed import SpeedSettings, measure  # noqa: PLC0415

    names = select_runtimes(runtime or ["all"])
    what, candidates, preprocessing = (
        _candidates_of_bundle(bundle) if family is None else _candidates_of_family(family, classes)
    )
    settings = SpeedSettings(
        runtimes=names, threads=threads, runs=runs, size=frame_size, quality=quality, preprocessing=preprocessing
    )
    found = measure(candidates, settings, _print_progress)
    report: dict[str, Any] = {"board": name or found["machine"]["host"], "family": what} | found
    if json:
        typer.echo(json_module.dumps(report))
    else:
        _print_speed(report)


def _candidates_of_bundle(bundle: str) -> tuple[str, Sequence[Candidate], Preprocessing]:
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.site.speed import candidates_of  # noqa: PLC0415

    opened = open_bundle(bundle)
    manifest = opened.manifest
    return f"{manifest.name} {manifest.short_digest.hex()}", candidates_of(opened), manifest.preprocessing


def _candidates_of_family(family: str, classes: int) -> tuple[str, Sequence[Candidate], Preprocessing]:
    require_torch("building a family")
    from vp_mqtt.bundle.manifest import Preprocessing  # noqa: PLC0415
    from vp_mqtt.site.speed import Candidate  # noqa: PLC0415
    from vp_mqtt.training.presets import load_family  # noqa: PLC0415
    from vp_mqtt.training.random_family import random_models  # noqa: PLC0415

    spec = load_family(family)
    models = random_models(spec.variants, classes, _print_progress)
    candidates = [Candidate(index, one.spec.resolution, classes, one.model) for index, one in enumerate(models)]
    return f"{spec.name}, {classes} classes, random weights", candidates, Preprocessing()


def _print_speed(report: dict[str, Any]) -> None:
    from rich.table import Table  # noqa: PLC0415

    from vp_mqtt.cli.console import report_console  # noqa: PLC0415

    table = Table("variant", "pixels", "runtime", "model, ms", "decode and resize, ms", "total, ms")
    for one in report["variants"]:
        times = (f"{one[key]:.2f}" for key in ("ms", "prepare_ms", "total_ms"))
        table.add_row(str(one["index"]), str(one["resolution"]), one["runtime"], *times)
    report_console().print(f"{report['board']}: {report['family']}", table)


def plan(
    boards: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="BOARD.json", help="output of `vp bench speed --json`, one file per board, in the plain order"
        ),
    ] = None,
    *,
    variants: Annotated[
        str | None, typer.Option(metavar="0,2,5", help="the variants that are to run (default: all)")
    ] = None,
    equal_cost: Annotated[
        str | None, typer.Option(metavar="FAMILY", help="propose variants of equal cost in place of this family's")
    ] = None,
    classes: Classes = 10,
    macs: Annotated[
        float | None, typer.Option(min=0.1, max=100_000, help="million MACs of each (default: the family's mean)")
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option(metavar="0.35,0.5,0.75,1", help="widths to choose from, such as those with ImageNet weights"),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="time both families here, in ONNX Runtime")] = False,
    out: Annotated[Path | None, typer.Option(help="TOML file for the new family, for `vp train --family`")] = None,
    json: Json = False,
) -> None:
    """Propose a board for every variant, or a family whose variants cost the same."""
    if (not boards) == (equal_cost is None):
        raise UserError("name either boards' files (see `vp bench speed --json`) or a family with --equal-cost")
    if equal_cost is not None:
        report = _equal_cost(equal_cost, classes, macs, widths, out, measures=measure)
        if json:
            typer.echo(json_module.dumps(report))
        else:
            _print_equal_cost(report)
        return
    if out is not None or widths is not None or macs is not None or measure:
        raise UserError("--out, --widths, --macs and --measure go with --equal-cost")
    from vp_mqtt.site.assignment import propose, read_board  # noqa: PLC0415

    selected = whole_numbers(variants) if variants is not None else None
    if selected is not None and (not selected or len(set(selected)) < len(selected)):
        raise UserError(f"--variants {variants}: write numbers, each once, separated by commas")
    proposed = propose([read_board(path) for path in boards or ()], selected)
    if json:
        typer.echo(json_module.dumps(proposed.as_dict()))
    else:
        _print_plan(proposed)


def _parse_widths(text: str) -> list[float]:
    try:
        widths = [float(part) for part in text.split(",")]
    except ValueError:
        widths = []
    if not widths or len(set(widths)) < len(widths):
        raise UserError(f"--widths {text}: write numbers, each once, separated by commas")
    if not all(_LEAST_WIDTH <= width <= _LARGEST_WIDTH for width in widths):
        raise UserError(f"--widths {text}: each must be {_LEAST_WIDTH:g} to {_LARGEST_WIDTH:g}")
    return widths


def _print_plan(proposed: Assignment) -> None:
    from rich.table import Table  # noqa: PLC0415

    from vp_mqtt.cli.console import report_console  # noqa: PLC0415

    report = proposed.as_dict()
    table = Table("variant", "board", "ms", "plain order", "ms")
    for one, plain in zip(proposed.proposed, proposed.plain, strict=True):
        table.add_row(str(one.variant), one.board, f"{one.ms:.2f}", plain.board, f"{plain.ms:.2f}")
    slowest, plain_slowest = report["slowest_ms"], report["plain_slowest_ms"]
    lines = [f"slowest board: {slowest:.2f} ms, in the plain order {plain_slowest:.2f} ms ({report['gain']:.2f} x)"]
    if proposed.spare:
        lines.append(f"spare: {', '.join(proposed.spare)}")
    report_console().print(table, *lines, sep="\n", soft_wrap=True)


def _equal_cost(
    name: str, classes: int, macs: float | None, widths: str | None, out: Path | None, *, measures: bool
) -> dict[str, Any]:
    require_torch("counting")
    from vp_mqtt.training.equal_cost import DEFAULT_WIDTHS, equal_cost  # noqa: PLC0415
    from vp_mqtt.training.presets import family_as_toml, load_family  # noqa: PLC0415

    family = load_family(name)
    allowed = _parse_widths(widths) if widths is not None else DEFAULT_WIDTHS
    found = equal_cost(family, classes, target=macs * 1e6 if macs is not None else None, widths=allowed)
    report: dict[str, Any] = {"family": family.name, "classes": classes} | found.as_dict()
    if measures:
        report["measured"] = _measure_equal_cost(found, classes)
    if out is not None:
        proposed = found.family(f"{family.name}-equal-cost")
        try:
            out.write_text(family_as_toml(proposed), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {out}: {error.strerror}") from None
        report["out"] = str(out)
    return report


def _measure_equal_cost(found: EqualCost, classes: int) -> dict[str, Any]:
    from vp_mqtt.site.machine import describe_machine  # noqa: PLC0415
    from vp_mqtt.site.timing import time_in_turns  # noqa: PLC0415
    from vp_mqtt.training.random_family import random_models  # noqa: PLC0415

    specs = [spec for spec, _ in (*found.before, *found.after)]
    calls = [model.inference_call("onnxruntime", 1) for model in random_models(specs, classes, _print_progress)]
    times = [round(one.ms, 3) for one in time_in_turns(calls, _RUNS)]
    before, after = times[: len(found.before)], times[len(found.before) :]
    return {
        "before_ms": before,
        "after_ms": after,
        "dearest_ratio": round(max(before) / max(after), 3),
        "machine": describe_machine(),
    }


def _print_equal_cost(report: dict[str, Any]) -> None:
    from rich.table import Table  # noqa: PLC0415

    from vp_mqtt.cli.console import report_console  # noqa: PLC0415

    table = Table("", "pixels", "width", "head", "MACs", "params")
    for kind in ("before", "after"):
        for one in report[kind]["variants"]:
            cells = (f"{kind} {one['index']}", str(one["resolution"]), str(one["alpha"]), str(one["head"]))
            table.add_row(*cells, f"{one['macs'] / 1e6:.1f} M", f"{one['params']:,}")
        table.add_section()
    before, after = report["before"], report["after"]
    lines = [
        f"{what}: {before[key] / 1e6:.1f} M before, {after[key] / 1e6:.1f} M after"
        for what, key in (
            ("most expensive variant's MACs", "dearest_macs"),
            ("all variants' MACs", "total_macs"),
            ("all variants' parameters", "params"),
        )
    ]
    if "measured" in report:
        measured = report["measured"]
        lines.append(
            f"slowest model here: {max(measured['before_ms']):.2f} ms before, {max(measured['after_ms']):.2f} ms after"
        )
    if "out" in report:
        lines.append(f"wrote {report['out']}: vp train DATA --family {report['out']} --out FOLDER")
    report_console().print(table, *lines, sep="\n", soft_wrap=True)
