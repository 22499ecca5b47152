"""Run `python -m benchmarks`: the commands of `vp bench`, and `baseline` with those of `vp baseline`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import typer

from benchmarks.cli import COMMANDS
from vp_mqtt.cli.bench import BOARD_COMMANDS
from vp_mqtt.cli.lazy import LazyCommand, LazyGroup, run_app


class _BenchmarksGroup(LazyGroup):
    table: ClassVar[Mapping[str, LazyCommand]] = {
        **COMMANDS,
        **BOARD_COMMANDS,
        "baseline": LazyCommand("benchmarks.cli:baseline", "Run what variant parallelism is compared with."),
    }


app = typer.Typer(
    cls=_BenchmarksGroup,
    help="Measure what a family costs, and how the running system performs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    pass


if __name__ == "__main__":
    run_app(app, "python -m benchmarks")
