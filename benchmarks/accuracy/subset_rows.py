"""Rows of the table of which variants to run where there are fewer boards. Pure. The first row is the heading."""

from __future__ import annotations

from typing import Any

from benchmarks.table_rows import percent


def subsets(result: dict[str, Any]) -> list[list[str]]:
    """Accuracy of the variants with the largest weights, and of the worst and the best choice, by number of boards."""
    heading, second = [""], ["boards"]
    for name in result:
        heading += [f"`{name}`", ""]
        second += ["largest weights", "worst and best choice"]
    most = max(len(one["ranked"]) for one in result.values())
    rows = [heading, second]
    for boards in range(most, 0, -1):
        row = [str(boards)]
        for one in result.values():
            row += _cells(one, boards)
        rows.append(row)
    return rows


def _cells(one: dict[str, Any], boards: int) -> list[str]:
    ranked, by_subset = one["ranked"], one["by_subset"]
    if boards > len(ranked):
        return ["", ""]
    chosen = ",".join(map(str, sorted(ranked[:boards])))
    found = [(share, subset) for subset, share in by_subset.items() if subset.count(",") == boards - 1]
    (low, worst), (high, best) = min(found), max(found)
    among = "" if len(found) == 1 else f"{percent(low)} ({worst}), {percent(high)} ({best})"
    return [f"{percent(by_subset[chosen])} ({chosen})", among]
