"""Command lines made from settings: every setting is a flag, named, explained and checked in one place."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic.fields import FieldInfo

from vp_mqtt import logs
from vp_mqtt.config.settings import CommonSettings, describe, env_name, flag_of, is_secret, load

SettingsT = TypeVar("SettingsT", bound=CommonSettings)

_BOOLEAN_FLAGS = {"loop": "--loop/--once"}
_SHORT_FLAGS = {"broker": "-b"}


def _help(name: str, field: FieldInfo) -> str:
    default = "" if field.is_required() or field.default is None else f" (default: {field.default})"
    return f"{field.description or name}{default}"


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    if field.annotation is bool:
        kind: Any = bool | None
        option = typer.Option(_BOOLEAN_FLAGS.get(name, flag_of(name)), help=_help(name, field), show_default=False)
    else:
        # The text goes to pydantic as it is, so that flag, environment and file are read and refused alike.
        kind = str | None
        flags = [flag_of(name), _SHORT_FLAGS[name]] if name in _SHORT_FLAGS else [flag_of(name)]
        metavar = name.upper()
        option = typer.Option(*flags, help=_help(name, field), show_default=False, metavar=metavar)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _own_parameters() -> list[inspect.Parameter]:
    config = typer.Option("--config", envvar=env_name("config"), metavar="FILE", help="TOML file with settings")
    show = typer.Option("--show-settings", help="print the settings and where each comes from, and end")
    return [
        inspect.Parameter(
            "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[Path | None, config]
        ),
        inspect.Parameter(
            "show_settings", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, show]
        ),
    ]


def show(settings: CommonSettings, flags: dict[str, object], config: Path | None) -> None:
    """Print every setting, its value and where it comes from; secrets are masked."""
    rows = describe(settings, flags, config)
    width = max(len(field) for field, _, _ in rows)
    for field, value, source in rows:
        sys.stdout.write(f"{field:<{width}}  {value}  ({source})\n")


def settings_command(
    model: type[SettingsT],
    run: Callable[..., None],
    extra: list[inspect.Parameter] | None = None,
) -> Callable[..., None]:
    """Return a function that typer turns into a command with a flag for every setting.

    Args:
        model: the settings.
        run: called with the settings, and with the values of `extra` by name.
        extra: further parameters of the command, which are not settings.
    """
    extra = extra or []
    fields = {name: field for name, field in model.model_fields.items() if not is_secret(name)}
    parameters = [_parameter(name, field) for name, field in fields.items()] + _own_parameters() + extra

    def command(**values: Any) -> None:  # noqa: ANN401 (typer's, by the signature below)
        config = values["config"]
        flags: dict[str, object] = {name: values[name] for name in fields if values[name] is not None}
        settings = load(model, flags, config)
        if values["show_settings"]:
            show(settings, flags, config)
            return
        logs.set_up(json_lines=settings.log_json, level=settings.log_level)
        run(settings, **{parameter.name: values[parameter.name] for parameter in extra})

    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
