"""Commands that are imported when they are named, which keeps `--help` fast, and the way every command line is run."""

from __future__ import annotations

import importlib
import inspect
import io
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from vp_mqtt import __version__
from vp_mqtt.errors import UserError
from vp_mqtt.masking import hide_secrets
from vp_mqtt.plain_text import plain
from vp_mqtt.terminal import guarded_output

NO_HOME = "/dev/null"
"""Home of users that have none: a folder that nobody can make."""
EXIT_FAULT = 1
EXIT_USER_ERROR = 2
EXIT_ABORTED = 130


def _print_version(ctx: typer.Context, is_asked: bool) -> None:  # noqa: FBT001 (typer's signature of a callback)
    if is_asked:
        typer.echo(f"{ctx.find_root().info_name} {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]
"""A parameter that makes `--version` print program and version; the command itself ignores its value."""


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that has not been imported yet.

    Attributes:
        target: "module:name" of a function, or of a typer app with subcommands.
        help: its help text, the same as the command's own; the group's `--help` shows it.
        panel: heading under which the group's `--help` lists it; None: "Commands".
        more: further commands that are named after this one, which does its own work without them.
    """

    target: str
    help: str
    panel: str | None = None
    more: Mapping[str, LazyCommand] = field(default_factory=dict)

    def load(self) -> Any:  # noqa: ANN401 (a function or an app)
        """Import the command's function or app and return it."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)

    def app(self, *, add_completion: bool = False) -> typer.Typer:
        """Import the command and return it as a typer app.

        Args:
            add_completion: whether it has `--install-completion` and `--show-completion`.
        """
        found = self.load()
        if isinstance(found, typer.Typer):
            return found
        app = typer.Typer(add_completion=add_completion, pretty_exceptions_enable=False)
        if not self.more:
            app.command(help=self.help)(found)
            return app
        app.callback(invoke_without_command=True, help=self.help)(_unless_another_is_named(found))
        for name, command in self.more.items():
            app.command(name, help=command.help)(command.load())
        return app


def _unless_another_is_named(found: Callable[..., None]) -> Callable[..., None]:
    """Return a command that does nothing if another command follows on the command line."""

    def command(ctx: typer.Context, **values: Any) -> None:  # noqa: ANN401 (the command's own)
        if ctx.invoked_subcommand is None:
            found(**values)
            return
        given = [name for name in values if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")]
        if given:
            other = ctx.invoked_subcommand
            raise UserError(
                f"write the options after '{other}': {ctx.command_path} {other} --{given[0].replace('_', '-')} .."
            )

    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    own = inspect.signature(found).parameters
    command.__signature__ = inspect.Signature([context, *own.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {"ctx": typer.Context} | {name: one.annotation for name, one in own.items()}
    return command


class LazyGroup(TyperGroup):
    """A group that imports a command when the command line names it. Subclasses set `table`."""

    table: ClassVar[Mapping[str, LazyCommand]] = {}
    """The commands by name, in the order in which `--help` lists them."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 (typer's)
        super().__init__(**attributes)
        for name, lazy in self.table.items():
            self.commands[name] = TyperCommand(name, help=lazy.help, rich_help_panel=lazy.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 (typer's)
        """Return name, command and remaining arguments of the command that `args` name, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.table:
            command = get_command(self.table[name].app())
            command.name = name
        return name, command, rest


def provide_home() -> None:
    """See to it that there is a home folder to ask for, as libraries do: if need be, one that cannot be used.

    A user that a container makes up (`docker run --user 12345`) has no entry in the list of users, and HOME may be
    missing or empty.
    """
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = NO_HOME


def run_app(app: typer.Typer, program: str | None = None) -> None:
    """Run a command line and exit; an error of the user's is reported in one line, with exit code 2.

    Args:
        app: the program.
        program: its name in messages; by default as it was called.
    """
    provide_home()
    try:
        with guarded_output():
            code = app(prog_name=program, standalone_mode=False)
    except UserError as error:
        _say(f"{program or Path(sys.argv[0]).name}: {plain(f'{error}{error.hint}')}\n")
        sys.exit(EXIT_USER_ERROR)
    except typer.Abort:
        sys.exit(EXIT_ABORTED)
    except typer.TyperException as error:
        # A group without arguments has printed its help by now, and has nothing to add.
        message = hide_secrets(" ".join(error.format_message().split()).rstrip("."))
        if message:
            context: typer.Context | None = getattr(error, "ctx", None)
            command = context.command_path if context else program
            _say(f"{command}: {message}; see `{command} --help`\n")
        sys.exit(EXIT_USER_ERROR)
    except Exception as error:  # noqa: BLE001 (a fault of ours, whatever it is)
        from vp_mqtt import logs  # noqa: PLC0415

        _say(logs.report_fault(error))
        sys.exit(EXIT_FAULT)
    sys.exit(code if isinstance(code, int) else 0)


def _say(line: str) -> None:
    """Write an error, if that is possible: a full disk must not change the exit code."""
    # Python would try again when it exits, and then exit with 120.
    try:
        if sys.stderr is not None:
            sys.stderr.write(line)
            sys.stderr.flush()
    except OSError:
        sys.stderr = io.StringIO()
