"""Running a command line, and groups of commands that are loaded when they are named: `--help` answers at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from vp_mqtt.errors import UserError

EXIT_USER_ERROR = 2
EXIT_ABORTED = 130
# Click's, which typer brings along since 0.26 and depended on before: this finds either.
_UsageError: Any = typer.BadParameter.__mro__[1]


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that is not loaded yet.

    Attributes:
        place: "module:name" of a function for typer, or of a typer app with commands of its own.
        help: what it does, as the command itself says it: `--help` of the group shows this.
    """

    place: str
    help: str

    def load(self, name: str) -> Any:  # noqa: ANN401 (click's command, which has two homes)
        """Import the command and return it, under a name."""
        module, _, attribute = self.place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False)
            app.command(help=self.help)(found)
            found = app
        command = get_command(found)
        command.name = name
        return command


class LazyGroup(TyperGroup):
    """A group that knows of its commands no more than what they do, until one of them is named."""

    table: ClassVar[Mapping[str, LazyCommand]] = {}

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 (typer's)
        super().__init__(**attributes)
        for name, lazy in self.table.items():
            self.commands[name] = TyperCommand(name, help=lazy.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 (click's)
        """Return name, command and arguments of what is to be run, the command loaded by now."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.table:
            command = self.table[name].load(name)
        return name, command, rest


def lazy_app(text: str, table: Mapping[str, LazyCommand]) -> typer.Typer:
    """Return a typer app of commands that are loaded when they are named.

    Args:
        text: what the app is for.
        table: its commands by name, in the order in which `--help` shows them.
    """
    group = type("Group", (LazyGroup,), {"table": table})
    app = typer.Typer(cls=group, help=text, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    return app


def run_app(app: typer.Typer) -> None:
    """Run a command line; what the user got wrong is told in one line, and the exit code is 2."""
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        program = Path(sys.argv[0]).name.replace("__main__.py", "vp")
        sys.stderr.write(f"{program}: {error}\n")
        sys.exit(EXIT_USER_ERROR)
    except typer.Abort:
        sys.exit(EXIT_ABORTED)
    except _UsageError as error:
        command = error.ctx.command_path.replace("python -m vp_mqtt", "vp") if error.ctx else "vp"
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            message = " ".join(error.format_message().split()).rstrip(".")
            sys.stderr.write(f"{command}: {message}; see `{command} --help`\n")
        sys.exit(EXIT_USER_ERROR)
    sys.exit(code if isinstance(code, int) else 0)
