"""Command lines made from settings: one flag per setting, with the setting's name, help text and checks."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic.fields import FieldInfo

from vp_mqtt import logs
from vp_mqtt.cli.lazy import VersionOption
from vp_mqtt.config.exposure import exposed
from vp_mqtt.config.loading import describe, env_name, flag_of, is_secret, load
from vp_mqtt.config.settings import CommonSettings

SettingsT = TypeVar("SettingsT", bound=CommonSettings)

PANELS: Mapping[str, Sequence[str]] = {
    "Model": (
        "variant",
        "bundle",
        "fallback",
        "bundle_key",
        "bundle_cache",
        "k",
        "unknown",
        "runtime",
        "threads",
        "max_frame_bytes",
        "replica",
    ),
    "Camera": ("camera", "source", "source_file", "loop", "hold", "frames", "fps", "in_flight"),
    "Picture": ("size", "quality", "encode", "frame_side", "rotate", "mirror", "region"),
    "Motion": ("motion_gate", "motion_threshold", "motion_area", "motion_region", "motion_hold", "heartbeat"),
    "Page": (
        "listen",
        "allowed_hosts",
        "passwords_file",
        "trusted_proxy",
        "proxy_header",
        "operators",
        "metrics_token_file",
    ),
    "History": ("history", "history_days", "history_mb"),
    "Teaching": ("teach", "teach_from", "queue_frames", "queue_mb"),
    "Bundle": ("sign", "chunk_bytes"),
    "Timing": ("deadline_ms", "suspect_after", "valid_for", "ready_within", "taken_within"),
    "State": (
        "state",
        "state_labels",
        "state_window",
        "state_hysteresis",
        "state_dwell",
        "state_timeout",
        "state_every",
    ),
    "Site": ("site", "name", "cameras", "shard", "shard_members", "home_assistant"),
    "Broker": ("broker", "keepalive", "give_up_after"),
    "Account and TLS": ("username", "password_file", "ca_file", "cert_file", "key_file"),
    "Logging": ("log_level", "log_json", "stats_every", "metrics"),
}
"""The headings of `--help` and the settings below each, in the order in which they are shown."""

_PANEL_OF = {setting: panel for panel, settings in PANELS.items() for setting in settings}
_BOOLEAN_FLAGS = {"loop": "--loop/--once", "state": "--state/--no-state"}
_SHORT_FLAGS = {"broker": "-b"}
_REPEATED = {"region"}
"""Settings whose flag may be given several times."""


def keyword(name: str, annotation: object, default: object = None) -> inspect.Parameter:
    """Return a keyword parameter of a command.

    Args:
        name: the parameter's name.
        annotation: its type with typer's option or argument, as `Annotated[..]`.
        default: its value where the command line does not give it.
    """
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _help(name: str, field: FieldInfo) -> str:
    text = field.description or name
    if field.is_required():
        return f"{text} (required)"
    return text if field.default in (None, ()) else f"{text} (default: {field.default})"


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    help_text, panel = _help(name, field), _PANEL_OF.get(name)
    if field.annotation is bool:
        flag = _BOOLEAN_FLAGS.get(name, flag_of(name))
        option = typer.Option(flag, help=help_text, show_default=False, rich_help_panel=panel)
        return keyword(name, Annotated[bool | None, option])
    # pydantic gets the text as it is, so that flags, environment and file are read and checked alike.
    flags = [flag_of(name), _SHORT_FLAGS[name]] if name in _SHORT_FLAGS else [flag_of(name)]
    option = typer.Option(*flags, help=help_text, show_default=False, metavar=name.upper(), rich_help_panel=panel)
    return keyword(name, Annotated[list[str] | None if name in _REPEATED else str | None, option])


def _common_parameters() -> list[inspect.Parameter]:
    config = typer.Option("--config", envvar=env_name("config"), metavar="FILE", help="TOML file with settings")
    show = typer.Option("--show-settings", help="print every setting, its value and its source, and exit")
    return [
        keyword("config", Annotated[Path | None, config]),
        keyword("show_settings", Annotated[bool, show], default=False),
        keyword("version", VersionOption, default=False),
    ]


def _print_settings(settings: CommonSettings, flags: dict[str, object], config: Path | None) -> None:
    rows = describe(settings, flags, config)
    width = max(len(field) for field, _, _ in rows)
    for field, value, source in rows:
        sys.stdout.write(f"{field:<{width}}  {value}  ({source})\n")


def settings_command(
    model: type[SettingsT],
    run: Callable[..., None],
    extra: Sequence[inspect.Parameter] = (),
) -> Callable[..., None]:
    """Return a function that typer turns into a command with one flag per setting.

    Args:
        model: the settings.
        run: called with the settings, and with the values of `extra` as keywords.
        extra: further parameters of the command, which are not settings.
    """
    fields = {name: model.model_fields[name] for name in _in_order_of_panels(model) if not is_secret(name)}
    parameters = [*extra, *_common_parameters(), *(_parameter(name, field) for name, field in fields.items())]

    def command(**values: Any) -> None:  # noqa: ANN401 (typer's, by the signature below)
        config = values["config"]
        flags: dict[str, object] = {name: values[name] for name in fields if values[name] not in (None, [])}
        settings = load(model, flags, config)
        if values["show_settings"]:
            _print_settings(settings, flags, config)
            return
        logs.set_up(json_lines=settings.log_json, level=settings.log_level)
        for warning in exposed(model, flags, config):
            logs.LOGGER.warning("%s", warning)
        run(settings, **{parameter.name: values[parameter.name] for parameter in extra})

    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _in_order_of_panels(model: type[CommonSettings]) -> list[str]:
    places = {setting: place for place, setting in enumerate(_PANEL_OF)}
    return sorted(model.model_fields, key=lambda name: places.get(name, -1))
