"""The comparison as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

HEADING = ("seed", "before", "50 at random", "50 that the queue proposes", "gain over random")


def rows(result: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return the rows of the table, the first one being the heading: accuracies in percent, and their means."""
    count = str(result["labelled"])
    found: list[Sequence[str]] = [tuple(cell.replace("50", count) for cell in HEADING)]
    found += [_row(str(one["seed"]), one) for one in result["seeds"]]
    gains = [100 * (one["proposed"] - one["random"]) for one in result["seeds"]]
    error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    *cells, _ = _row("**mean**", result["mean"])
    return [*found, (*cells, f"{statistics.fmean(gains):+.1f} ± {error:.1f} points")]


def _row(name: str, one: Mapping[str, Any]) -> Sequence[str]:
    shares = [f"{100 * one[key]:.1f} %" for key in ("before", "random", "proposed")]
    return name, *shares, f"{100 * (one['proposed'] - one['random']):+.1f} points"
