"""`vp bench` and `vp baseline`: commands for boards, and in a checkout every measurement of the folder `benchmarks`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import typer

from vp_mqtt.cli.lazy import LazyCommand, LazyGroup
from vp_mqtt.errors import UserError

BOARD_COMMANDS: Mapping[str, LazyCommand] = {
    "speed": LazyCommand(
        "vp_mqtt.cli.boards:speed", "Measure how fast this board runs each variant, in the fastest runtime installed."
    ),
    "plan": LazyCommand(
        "vp_mqtt.cli.boards:plan", "Propose a board for every variant, or a family whose variants cost the same."
    ),
}
"""Those that ship with the package: a site is planned with them."""


def load_benchmarks(root: Path) -> tuple[Mapping[str, LazyCommand], Mapping[str, LazyCommand]] | None:
    """Return the commands that a checkout adds to `vp bench`, and those of `vp baseline`; None outside a checkout.

    The package is found by its place beside `vp_mqtt`, not on `sys.path`, where another `benchmarks` may come first.

    Args:
        root: the folder that holds `vp_mqtt`.
    """
    package = root / "benchmarks" / "__init__.py"
    if not (package.is_file() and (root / "pyproject.toml").is_file()):
        return None
    loaded = sys.modules.get("benchmarks")
    if loaded is None or loaded.__file__ is None or Path(loaded.__file__).resolve() != package:
        spec = importlib.util.spec_from_file_location("benchmarks", package)
        if spec is None or spec.loader is None:
            return None
        module = importlib.util.module_from_spec(spec)
        sys.modules["benchmarks"] = module
        spec.loader.exec_module(module)
    commands = importlib.import_module("benchmarks.cli")
    return commands.COMMANDS, commands.BASELINE_COMMANDS


_IN_CHECKOUT = load_benchmarks(Path(__file__).resolve().parents[2])
_MEASUREMENTS, _BASELINES = _IN_CHECKOUT or ({}, {})


class _CheckoutGroup(LazyGroup):
    """A group with commands that only a checkout has."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 (typer's)
        """Return name, command and remaining arguments of the command that `args` name.

        Raises:
            UserError: this is an installed package, which does not have the command.
        """
        if _IN_CHECKOUT is None and args[0] not in self.commands and not ctx.resilient_parsing:
            own = f"; this installation has: {', '.join(self.commands)}" if self.commands else ""
            raise UserError(
                f"{ctx.command_path} {args[0]}: most measurements are only in a clone of vp-mqtt: `make install` "
                f"there, and use its .venv/bin/vp{own}"
            )
        return super().resolve_command(ctx, args)


class BenchGroup(_CheckoutGroup):
    """The commands of `vp bench`."""

    table: ClassVar[Mapping[str, LazyCommand]] = {**_MEASUREMENTS, **BOARD_COMMANDS}


class BaselineGroup(_CheckoutGroup):
    """The commands of `vp baseline`."""

    table = _BASELINES


bench = typer.Typer(
    cls=BenchGroup,
    help="Measure what a family costs, and how the running system performs.",
    no_args_is_help=True,
    add_completion=False,
)
baseline = typer.Typer(
    cls=BaselineGroup,
    help="Run what variant parallelism is compared with, over the same broker (from a checkout).",
    no_args_is_help=True,
    add_completion=False,
)


@bench.callback()
@baseline.callback()
def _group() -> None:
    pass
