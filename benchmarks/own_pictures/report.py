"""The comparison as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import typer

HEADING = (
    "classes",
    "pictures of each",
    "draws",
    "`mixed`, fused",
    "its best variant",
    "`narrow`, fused",
    "usual recipe, width 0.35",
    "the same, zoomed as `mixed`",
    "width 1.0",
    "lead of `mixed`",
)


def rows(result: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return the rows of the table, the first one being the heading: means over the draws, in percent.

    The last column is the lead of the fused label over the usual recipe with width 0.35, in points, and the standard
    error of its mean.
    """
    found: list[Sequence[str]] = [HEADING]
    for row in result["rows"]:
        draws = row["draws"]
        leads = [one["mixed"]["fused"] - one["usual 0.35"] for one in draws]
        found.append(
            (
                str(row["classes"]),
                str(row["pictures"]),
                str(len(draws)),
                f"**{_mean(one['mixed']['fused'] for one in draws)}**",
                _mean(max(one["mixed"]["variants"]) for one in draws),
                _mean(one["narrow"]["fused"] for one in draws),
                _mean(one["usual 0.35"] for one in draws),
                _mean(one["usual 0.35 zoomed"] for one in draws),
                _mean(one["usual 1.0"] for one in draws),
                f"{100 * statistics.fmean(leads):+.1f} ± {100 * _error(leads):.1f}",
            )
        )
    return found


def _mean(values: Any) -> str:  # noqa: ANN401 (any iterable of numbers)
    return f"{100 * statistics.fmean(values):.1f} %"


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def print_rows(result: Mapping[str, Any]) -> None:
    """Print the table."""
    for row in rows(result):
        typer.echo(" | ".join(row))
    timed = result["timed"]
    typer.echo(
        f"{timed['classes']} classes of {timed['pictures']} pictures, from pictures and weights to a bundle: "
        f"{timed['wall_s']} s, {timed['cpu_s']} s of processor time"
    )
