"""The table of `vp bench small-families`. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from benchmarks.table_rows import percent

_LIMIT = 0.03


def small_families(result: dict[str, Any]) -> list[list[str]]:
    """Calibration error of families of four classes of forty pictures, by data set; the first row is the heading."""
    heading = ["classes of", "families", "test pictures of each", "accuracy", "calibration error, mean", "highest"]
    rows = [[*heading, "below 3 %", "a perfect family's, mean", "all families' labels together", "a perfect one's"]]
    for name, measured in result.items():
        draws, together = measured["draws"], measured["together"]
        errors = [draw["ece"] for draw in draws]
        images = [draw["images"] for draw in draws]
        rows.append(
            [
                name,
                str(len(draws)),
                str(images[0]) if min(images) == max(images) else f"{min(images)} to {max(images)}",
                percent(fmean(draw["accuracy"] for draw in draws), 1),
                f"{percent(fmean(errors), 1)} ± {_points(errors)}",
                percent(max(errors), 1),
                f"{sum(error < _LIMIT for error in errors)} of {len(draws)}",
                percent(fmean(draw["ece_of_perfect"] for draw in draws), 1),
                percent(together["ece"], 1),
                percent(together["ece_of_perfect"], 1),
            ]
        )
    return rows


def _points(errors: Sequence[float]) -> str:
    """Return the standard error of a mean, in points."""
    return f"{100 * stdev(errors) / math.sqrt(len(errors)):.1f}"
