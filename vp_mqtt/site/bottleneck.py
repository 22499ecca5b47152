"""Assign variants to boards so that the slowest board is as fast as possible. Pure, and exact.

This is the linear bottleneck assignment problem. Bisection over the times finds the smallest limit under which every
variant still gets a board of its own; among the assignments within that limit, one with the least sum is returned (by
successive shortest paths: Ahuja, Magnanti and Orlin, "Network Flows", 1993, chapter 9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Times = Sequence[Sequence[float]]

_ROUNDING = 1e-9


def assign(times: Times) -> list[int]:
    """Return a board for every variant, each board used once: minimal longest time, then minimal sum.

    Args:
        times: time of each variant on each board, shape (variants, boards), finite; as many boards as
            variants, or more.

    Raises:
        ValueError: there are fewer boards than variants.
    """
    limits = sorted({time for row in times for time in row})
    best = _within(times, limits[-1])
    if best is None:
        raise ValueError(f"{len(times)} variants and {len(times[0])} boards: there must be a board for every variant")
    low, high = 0, len(limits) - 1
    while low < high:
        middle = (low + high) // 2
        found = _within(times, limits[middle])
        if found is None:
            low = middle + 1
        else:
            best, high = found, middle
    return best


def _within(times: Times, limit: float) -> list[int] | None:
    return least_sum([[time if time <= limit else math.inf for time in row] for row in times])


def least_sum(times: Times) -> list[int] | None:
    """Return a column for every row, each column used once, with the least sum; None if every choice is infinite.

    Args:
        times: shape (rows, columns), infinite where a pair is not allowed.
    """
    owners: list[int | None] = [None] * len(times[0])
    for row in range(len(times)):
        path = _cheapest_path(times, owners, row)
        if path is None:
            return None
        # Along the path, from its free end backwards, every owner moves on by one column.
        for column, before in zip(path, [*path[1:], None], strict=True):
            owners[column] = row if before is None else owners[before]
    columns = {row: column for column, row in enumerate(owners) if row is not None}
    return [columns[row] for row in range(len(times))]


def _cheapest_path(times: Times, owners: Sequence[int | None], row: int) -> list[int] | None:
    """Return the cheapest augmenting path from a row to a free column, last column first; None without any."""
    distance = list(times[row])
    before: list[int | None] = [None] * len(owners)
    for _ in owners:
        changed = False
        for column, owner in enumerate(owners):
            if owner is None or math.isinf(distance[column]):
                continue
            for other, time in enumerate(times[owner]):
                further = distance[column] - times[owner][column] + time
                if further < distance[other] - _ROUNDING:
                    distance[other], before[other], changed = further, column, True
        if not changed:
            break
    free = [column for column, owner in enumerate(owners) if owner is None and not math.isinf(distance[column])]
    if not free:
        return None
    path = [min(free, key=lambda column: distance[column])]
    while (previous := before[path[-1]]) is not None:
        path.append(previous)
    return path
