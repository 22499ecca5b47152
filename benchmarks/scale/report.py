"""Tables and picture of `vp bench scale`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Report = dict[str, Any]
Rows = list[list[str]]

_DOTS_PER_INCH = 120


def rows(reports: Mapping[str, Report]) -> Rows:
    """Return a table with one column per report."""
    columns = list(reports.values())
    first = columns[0]
    found = [["", *reports]]
    for curve in ("by_cameras", "by_variants"):
        for number, point in enumerate(first[curve]):
            cost = [f"{report[curve][number]['us_per_vote']:.0f} us" for report in columns]
            found.append([f"a vote, cameras x variants: {point['cameras']} x {point['variants']}", *cost])
    found.append(["fitted to these: a frame; each vote on it", *(_fitted(report["by_variants"]) for report in columns)])
    largest = f"{first['half_load']['cameras']} cameras x {first['half_load']['variants']} variants"
    found += [
        [f"most votes/s without loss, {largest}", *(f"{report['largest_votes_per_second']:,}" for report in columns)],
        ["a bare paho client, messages/s", *(f"{_paho(report):,}" for report in columns)],
        ["window, one camera, p50; p99", *(_times(report["one_camera"]) for report in columns)],
        ["window, at half of the most votes", *(_times(report["half_load"]) for report in columns)],
        [f"window, {largest} in step, 10 frames/s", *(_times(report["in_step"]) for report in columns)],
    ]
    return found


def _fitted(points: list[Report]) -> str:
    """Return the costs of a frame and of a vote, in us, with which those of frames of several sizes agree best."""
    variants = [one["variants"] for one in points]
    frame, vote = np.polynomial.polynomial.polyfit(
        variants, [one["us_per_vote"] * one["variants"] for one in points], 1
    )
    return f"{frame:.0f} us; {vote:.0f} us"


def _paho(report: Report) -> int:
    return int(report["paho"]["saturated"]["messages_per_second"])


def _times(step: Report) -> str:
    window = step["window_ms"]
    return "-" if window is None else f"{window['p50']:.1f}; {window['p99']:.1f} ms"


def read_report(path: Path) -> Report:
    """Return what an earlier run printed with `--json`.

    Raises:
        UserError: it cannot be read.
    """
    try:
        found: Report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--beside {path}: {error}") from None
    return found


def print_scale(reports: Mapping[str, Report]) -> None:
    """Print what the command found as a table."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    heading, *body = rows(reports)
    table = Table(*heading)
    for row in body:
        table.add_row(*row)
    Console(highlight=False).print(table)


def need_matplotlib() -> None:
    """Check that the picture can be drawn, before the work whose result it shows.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 (of the extra `train`, and slow to load)
    except ImportError:
        raise UserError("--plot needs matplotlib: `pip install matplotlib`") from None


def draw(reports: Mapping[str, Report], path: Path) -> None:
    """Draw what a vote costs, and how long labels take, for each report.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(13, 4), layout="constrained")
    cameras, variants, times = figure.subplots(1, 3)
    for name, report in reports.items():
        _curve(cameras, report["by_cameras"], "cameras", name)
        _curve(variants, report["by_variants"], "variants", name)
        ramp = sorted((one for one in report["ramp"] if one["response_ms"]), key=lambda one: one["votes_per_second"])
        rates = [one["votes_per_second"] for one in ramp]
        for quantile, style in (("p50", "o-"), ("p99", "s--")):
            times.plot(rates, [one["response_ms"][quantile] for one in ramp], style, label=f"{name} {quantile}".strip())
    for axes, what in ((cameras, "cameras"), (variants, "variants")):
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(what)
        axes.set_ylabel("processor time per vote, in us")
    times.set_yscale("log")
    times.set_xlabel("votes per second")
    times.set_ylabel("from announce to label, in ms")
    for axes in (cameras, variants, times):
        axes.grid(alpha=0.3)
        axes.legend()
    try:
        figure.savefig(path, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _curve(axes: Axes, points: list[Report], over: str, name: str) -> None:
    others = "variants" if over == "cameras" else "cameras"
    label = f"{name} ({points[0][others]} {others})".strip()
    axes.plot([one[over] for one in points], [one["us_per_vote"] for one in points], "o-", label=label)
