"""`vp bench speed` and `vp bench plan`. What they need is imported when they run."""

from __future__ import annotations

import importlib.util
import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.latency.cli import Classes, Size, size_of
from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from vp_mqtt.training.equal_cost import EqualCost

_Json = Annotated[bool, typer.Option("--json", help="print one JSON object instead of a table")]


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _need_torch(what: str) -> None:
    if importlib.util.find_spec("torch") is None:
        raise UserError(f"{what} needs torch: `pip install vp-mqtt[train]`")


def speed(
    *,
    bundle: Annotated[str, typer.Option(help="the family: a bundle's folder, or the name of one in the box")] = (
        "fashion-mnist"
    ),
    family: Annotated[
        str | None, typer.Option(help="instead of a bundle, a family at random weights: paper, .., or a TOML file")
    ] = None,
    classes: Classes = 10,
    runs: Annotated[int, typer.Option(min=1, max=100_000, help="of each variant; the median counts")] = 50,
    runtime: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="onnxruntime or openvino; may be repeated (default: all installed)"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="of the runtime")] = 1,
    size: Size = "640x480",
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality of the frames")] = 90,
    name: Annotated[str | None, typer.Option(help="the board's name (default: its host name)")] = None,
    json: _Json = False,
) -> None:
    """Measure how fast each variant runs on this board, in the runtime that is the fastest here."""
    frame_size = size_of(size)
    from vp_mqtt.bundle.folder import open_bundle  # noqa: PLC0415
    from vp_mqtt.bundle.manifest import Preprocessing  # noqa: PLC0415
    from vp_mqtt.site.chosen import chosen_runtimes  # noqa: PLC0415
    from vp_mqtt.site.speed import Candidate, SpeedSettings, candidates_of, measure  # noqa: PLC0415

    names = chosen_runtimes(runtime or ["all"])
    if family is None:
        opened = open_bundle(bundle)
        manifest = opened.manifest
        candidates, preprocessing = candidates_of(opened), manifest.preprocessing
        what = f"{manifest.name} {manifest.short_digest.hex()}"
    else:
        _need_torch("building a family")
        from vp_mqtt.training.presets import load_family  # noqa: PLC0415
        from vp_mqtt.training.random_family import random_models  # noqa: PLC0415

        spec = load_family(family)
        built = random_models(spec.variants, classes, _tell)
        candidates = [Candidate(i, one.spec.resolution, classes, one.model) for i, one in enumerate(built)]
        preprocessing, what = Preprocessing(), f"{spec.name}, {classes} classes, random weights"
    settings = SpeedSettings(
        runtimes=names, threads=threads, runs=runs, size=frame_size, quality=quality, preprocessing=preprocessing
    )
    found = measure(candidates, settings, _tell)
    told: dict[str, Any] = {"board": name or found["machine"]["host"], "family": what} | found
    if json:
        typer.echo(json_module.dumps(told))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("variant", "pixels", "runtime", "model, ms", "decode and resize, ms", "together, ms")
    for one in told["variants"]:
        times = (f"{one[key]:.2f}" for key in ("ms", "prepare_ms", "total_ms"))
        table.add_row(str(one["index"]), str(one["resolution"]), one["runtime"], *times)
    Console(highlight=False).print(f"{told['board']}: {told['family']}", table)


def _numbers(flag: str, text: str, kind: type[int | float]) -> list[Any]:
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or len(set(numbers)) != len(numbers):
        raise UserError(f"{flag} {text}: write numbers, each once, separated by commas")
    return numbers


def plan(
    boards: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="BOARD.json", help="what `vp bench speed --json` printed, a file for each board, in the plain order"
        ),
    ] = None,
    *,
    variants: Annotated[str | None, typer.Option(metavar="0,2,5", help="those that are to run (default: all)")] = None,
    equal_cost: Annotated[
        str | None, typer.Option(metavar="FAMILY", help="propose variants of equal cost in place of this family's")
    ] = None,
    classes: Classes = 10,
    macs: Annotated[
        float | None, typer.Option(min=0.1, max=100_000, help="million MACs of each (default: the family's mean)")
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option(metavar="0.35,0.5,0.75,1", help="that may be used, such as those with ImageNet weights"),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="time both families here, in ONNX Runtime")] = False,
    out: Annotated[Path | None, typer.Option(help="TOML file for the new family, for `vp train --family`")] = None,
    json: _Json = False,
) -> None:
    """Propose which variant goes on which board, or a family whose variants are equally dear."""
    if (not boards) == (equal_cost is None):
        raise UserError("name either boards' files (see `vp bench speed --json`) or a family with --equal-cost")
    if equal_cost is not None:
        _plan_equal_cost(equal_cost, classes, macs, widths, out, measures=measure, json=json)
        return
    if out is not None or widths is not None or macs is not None or measure:
        raise UserError("--out, --widths, --macs and --measure go with --equal-cost")
    from vp_mqtt.site.assignment import propose, read_board  # noqa: PLC0415

    chosen = _numbers("--variants", variants, int) if variants is not None else None
    proposed = propose([read_board(path) for path in boards or ()], chosen)
    told = proposed.as_dict()
    if json:
        typer.echo(json_module.dumps(told))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("variant", "board", "ms", "plain order", "ms")
    for one, plain in zip(proposed.proposed, proposed.plain, strict=True):
        table.add_row(str(one.variant), one.board, f"{one.ms:.2f}", plain.board, f"{plain.ms:.2f}")
    slowest, plain_slowest = told["slowest_ms"], told["plain_slowest_ms"]
    lines = [f"slowest board: {slowest:.2f} ms, in the plain order {plain_slowest:.2f} ms ({told['gain']:.2f} x)"]
    if proposed.spare:
        lines.append(f"spare: {', '.join(proposed.spare)}")
    Console(highlight=False).print(table, *lines, sep="\n", soft_wrap=True)


def _plan_equal_cost(
    name: str, classes: int, macs: float | None, widths: str | None, out: Path | None, *, measures: bool, json: bool
) -> None:
    _need_torch("counting")
    from vp_mqtt.training.equal_cost import DEFAULT_WIDTHS, equal_cost  # noqa: PLC0415
    from vp_mqtt.training.presets import load_family  # noqa: PLC0415

    family = load_family(name)
    allowed = _numbers("--widths", widths, float) if widths is not None else DEFAULT_WIDTHS
    if not all(0.05 <= width <= 2 for width in allowed):  # noqa: PLR2004 (as vp_mqtt.bundle.manifest has it)
        raise UserError(f"--widths {widths}: each must be 0.05 to 2")
    found = equal_cost(family, classes, target=macs * 1e6 if macs is not None else None, widths=allowed)
    proposed = found.family(f"{family.name}-equal-cost")
    told: dict[str, Any] = {"family": family.name, "classes": classes} | found.as_dict()
    if measures:
        told["measured"] = _measured(found, classes)
    if out is not None:
        from benchmarks.comparators.class_parallel import as_toml  # noqa: PLC0415

        try:
            out.write_text(as_toml(proposed), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {out}: {error.strerror}") from None
        told["out"] = str(out)
    if json:
        typer.echo(json_module.dumps(told))
    else:
        _print_equal_cost(told)


def _measured(found: EqualCost, classes: int) -> dict[str, Any]:
    from benchmarks.latency.models import call_of  # noqa: PLC0415
    from vp_mqtt.site.machine import machine  # noqa: PLC0415
    from vp_mqtt.site.timing import times_in_turns  # noqa: PLC0415
    from vp_mqtt.training.random_family import random_models  # noqa: PLC0415

    specs = [spec for spec, _ in (*found.before, *found.after)]
    calls = [call_of(model, "onnxruntime", 1) for model in random_models(specs, classes, _tell)]
    times = [round(one.ms, 3) for one in times_in_turns(calls, 50)]
    before, after = times[: len(found.before)], times[len(found.before) :]
    return {
        "before_ms": before,
        "after_ms": after,
        "dearest_ratio": round(max(before) / max(after), 3),
        "machine": machine(),
    }


def _print_equal_cost(told: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("", "pixels", "width", "head", "MACs", "params")
    for kind in ("before", "after"):
        for one in told[kind]["variants"]:
            cells = (f"{kind} {one['index']}", str(one["resolution"]), str(one["alpha"]), str(one["head"]))
            table.add_row(*cells, f"{one['macs'] / 1e6:.1f} M", f"{one['params']:,}")
        table.add_section()
    before, after = told["before"], told["after"]
    lines = [
        f"{what}: {before[key] / 1e6:.1f} M before, {after[key] / 1e6:.1f} M after"
        for what, key in (
            ("dearest variant's MACs", "dearest_macs"),
            ("all variants' MACs", "total_macs"),
            ("all variants' parameters", "params"),
        )
    ]
    if "measured" in told:
        measured = told["measured"]
        lines.append(
            f"slowest model here: {max(measured['before_ms']):.2f} ms before, {max(measured['after_ms']):.2f} ms after"
        )
    if "out" in told:
        lines.append(f"wrote {told['out']}: vp train DATA --family {told['out']} --out FOLDER")
    Console(highlight=False).print(table, *lines, sep="\n", soft_wrap=True)
