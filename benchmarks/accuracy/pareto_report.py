"""Table and picture of `vp bench pareto`. The first row of the table is the heading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.table_rows import percent
from vp_mqtt.errors import UserError

_DOTS_PER_INCH = 110
_OFFSET = (5, -11)


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Single networks, and for each number of boards the family that validation pictures say is best."""
    best = {(one["name"], len(one["networks"])): one for one in result["points"] if len(one["networks"]) > 1}
    shown = _singles(result) + list(best.values())
    found = [["boards", "family", "slowest board, ms", "accuracy", "on the validation part", "networks"]]
    for point in sorted(shown, key=lambda one: (len(one["networks"]), one["ms"])):
        boards = len(point["networks"])
        name = "single network" if boards == 1 else point["name"]
        shares = [percent(point["test"]), percent(point["validation"])]
        found.append([str(boards), name, f"{point['ms']:.1f}", *shares, ", ".join(point["networks"])])
    return found


def _singles(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Single networks; of several trainings of one network the one that is best on the validation pictures."""
    found = [point for point in result["points"] if len(point["networks"]) == 1]
    best: dict[str, dict[str, Any]] = {}
    for point in sorted(found, key=lambda one: one["validation"]):
        best[point["networks"][0]] = point
    return [point for point in found if best[point["networks"][0]] is point]


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw accuracy against the time of the slowest board.

    Raises:
        UserError: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 (of the extra `train`, and slow to load)
    except ImportError:
        raise UserError("--plot needs matplotlib: `pip install matplotlib`") from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    singles = _singles(result)
    axes.scatter([one["ms"] for one in singles], [100 * one["test"] for one in singles], c="grey", label="one network")
    for one in singles:
        axes.annotate(one["networks"][0], (one["ms"], 100 * one["test"]), _OFFSET, textcoords="offset points", size=7)
    for name in dict.fromkeys(point["name"] for point in result["points"]):
        several = [one for one in result["points"] if one["name"] == name and len(one["networks"]) > 1]
        if not several:
            continue
        times, shares = [one["ms"] for one in several], [100 * one["test"] for one in several]
        drawn = axes.scatter(times, shares, s=20, label=name)
        # Families with the same slowest board are above each other: their numbers are to the left and right in turn.
        for index, one in enumerate(sorted(several, key=lambda one: (one["ms"], one["test"]))):
            place, boards = (one["ms"], 100 * one["test"]), str(len(one["networks"]))
            offset, side = ((6, 0), "left") if index % 2 else ((-6, 0), "right")
            colour = drawn.get_facecolor()[0]
            axes.annotate(boards, place, offset, textcoords="offset points", ha=side, va="center", size=8, color=colour)
    axes.set_xlabel("processor time of the slowest board's model, in ms (numbers: boards)")
    axes.set_ylabel(f"accuracy on {result['images']:,} test pictures, in %")
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    try:
        figure.savefig(path, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
