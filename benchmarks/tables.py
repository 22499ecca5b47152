"""Tables of the documentation, generated from the files in benchmarks/results: `python -m benchmarks.tables`.

A table stands between two markers in a page, and a file of results holds what a command printed with `--json`:

    <!-- table: faults -->
    ..
    <!-- /table -->

`benchmarks/results/README.md` describes the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import table_rows
from benchmarks.accuracy import pareto_report, subset_rows, zoom_rows
from benchmarks.cells import report as cells_report
from benchmarks.frames import report as frames_report
from benchmarks.labelling import report as labelling_report
from benchmarks.motion import report as motion_report
from benchmarks.own_pictures import report as own_pictures_report
from benchmarks.page import report as page_report
from benchmarks.scale import report as scale_report
from benchmarks.shards import report as shards_report
from benchmarks.unknown import report as unknown_report
from vp_mqtt.cli.lazy import run_app
from vp_mqtt.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

Rows = Sequence[Sequence[str]]

_accuracy_and_mean_per_class = partial(table_rows.accuracy, has_mean_per_class=True)

TABLES: Mapping[str, tuple[str, Callable[[Any], Rows]]] = {
    "accuracy-caltech101": ("accuracy-caltech101", _accuracy_and_mean_per_class),
    "accuracy-caltech101-mixed": ("accuracy-caltech101-mixed", _accuracy_and_mean_per_class),
    "accuracy-caltech101-taught": ("accuracy-caltech101-taught", _accuracy_and_mean_per_class),
    "accuracy-caltech101-paper": ("accuracy-caltech101-paper", _accuracy_and_mean_per_class),
    "accuracy-cifar10": ("accuracy-cifar10", table_rows.accuracy),
    "accuracy-cifar10-paper": ("accuracy-cifar10-paper", table_rows.accuracy),
    "accuracy-cifar10-medium": ("accuracy-cifar10-medium", table_rows.accuracy),
    "accuracy-fashion-mnist": ("accuracy-fashion-mnist", table_rows.accuracy),
    "accuracy-fashion-mnist-small": ("accuracy-fashion-mnist-small", table_rows.accuracy),
    "accuracy-fashion-mnist-jpeg": ("accuracy-fashion-mnist", table_rows.accuracy_through_jpeg),
    "subsets": ("subsets", subset_rows.subsets),
    "zoom": ("zoom", zoom_rows.zooms),
    "accuracy-scratch": ("accuracy-scratch", table_rows.from_scratch),
    "linear-classifier-caltech101": ("linear-classifier-caltech101", table_rows.linear_classifier),
    "fusion-rules": ("fusion-rules", table_rows.fusion_rules),
    "ablation": ("ablation", table_rows.ablation),
    "compare-response": ("compare", table_rows.compare_response),
    "compare-dead": ("compare", table_rows.compare_dead),
    "pareto": ("pareto", pareto_report.rows),
    "models": ("models", table_rows.models),
    "latency-models": ("latency-models", table_rows.latency_models),
    "latency-end-to-end": ("latency-end-to-end", table_rows.latency_end_to_end),
    "footprint": ("footprint", table_rows.footprint),
    "scale": ("scale", scale_report.rows),
    "cells": ("cells", cells_report.rows),
    "frames-labels": ("frames", frames_report.labels),
    "frames-site": ("frames", frames_report.site),
    "frames-link": ("frames", frames_report.behind_link),
    "faults": ("faults", table_rows.faults),
    "shards": ("shards", shards_report.fault_rows),
    "replicas": ("shards", shards_report.group_rows),
    "soak": ("soak", table_rows.soak),
    "brokers": ("brokers", table_rows.brokers),
    "brokers-latency": ("brokers", table_rows.brokers_latency),
    "states": ("states", table_rows.states),
    "motion-costs": ("motion", motion_report.costs),
    "motion-decisions": ("motion", motion_report.decisions),
    "own-pictures": ("own-pictures", own_pictures_report.rows),
    "unknown": ("unknown", table_rows.unknown),
    "small-families": ("small-families", unknown_report.small_families),
    "left-out": ("left-out", table_rows.left_out),
    "labelling": ("labelling", labelling_report.rows),
    "page": ("page", page_report.rows),
    "first-version": ("first-version", page_report.first_version_rows),
    "calibration": ("unknown", table_rows.calibration),
    "mutants": ("mutants", table_rows.mutants),
    "mutant-survivors": ("mutants", table_rows.mutant_survivors),
}
"""By name in the markers: the file of results, and what makes rows of its result, the first one being the heading."""

_RULE = "---"
_MARKED = re.compile(
    r"(?P<begin><!-- table: (?P<name>[a-z0-9-]+) -->\n)(?P<table>.*?)(?P<end><!-- /table -->)", re.DOTALL
)


def read_result(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Return a file of results: "command", "machine", "date", and "result".

    Raises:
        UserError: the file cannot be read.
    """
    path = folder / f"{name}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None
    return found


def render(name: str, folder: Path = RESULTS) -> str:
    """Return a table in Markdown.

    Args:
        name: its name in the markers.
        folder: folder with the files of results.

    Raises:
        UserError: there is no such table, or its file cannot be read.
    """
    if name not in TABLES:
        raise UserError(f"there is no table '{name}'; there are {', '.join(TABLES)}")
    file, rows = TABLES[name]
    heading, *body = rows(read_result(file, folder)["result"])
    return "".join(map(_line, [heading, [_RULE] * len(heading), *body]))


def _line(cells: Iterable[str]) -> str:
    cells = list(cells)
    if set(cells) == {_RULE}:
        return f"|{'|'.join(cells)}|\n"
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells) + "\n"


def update(text: str, folder: Path = RESULTS) -> str:
    """Return a page with every marked table generated anew.

    Raises:
        UserError: there is no such table, or its file cannot be read.
    """
    return _MARKED.sub(lambda found: found["begin"] + render(found["name"], folder) + found["end"], text)


def tables(
    *, check: Annotated[bool, typer.Option("--check", help="change nothing, and fail if a table is outdated")] = False
) -> None:
    """Write the tables of the documentation from the files in benchmarks/results."""
    outdated = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        updated = update(text)
        if updated != text:
            outdated.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(updated, encoding="utf-8")
    if check and outdated:
        raise UserError(f"outdated tables in {', '.join(outdated)}: run `python -m benchmarks.tables`")
    typer.echo(f"updated: {', '.join(outdated)}" if outdated else "all tables are up to date")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(tables)
    run_app(app, "python -m benchmarks.tables")
