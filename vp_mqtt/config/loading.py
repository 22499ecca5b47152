"""Loading of settings: flag over environment variable over TOML file over default.

The keys at the top of a TOML file are for all roles, those in a table of a role's name for that role only, so that one
file can serve a whole site:

    broker = "mqtt://192.168.1.10"
    site = "home"

    [camera]
    source = "0"

    [variant]
    k = 3
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vp_mqtt.config.regions import Region
from vp_mqtt.config.roles import ROLES
from vp_mqtt.config.settings import ENV_PREFIX, CommonSettings
from vp_mqtt.errors import UserError
from vp_mqtt.files import error_reason, read_toml
from vp_mqtt.masking import hide_in_address

_FILES = {
    "ca_file",
    "cert_file",
    "key_file",
    "password_file",
    "bundle",
    "fallback",
    "bundle_key",
    "bundle_cache",
    "sign",
    "source",
    "source_file",
    "passwords_file",
    "metrics_token_file",
    "teach_from",
}
"""Settings that are, or may be, the name of a file or folder."""

_ALTERNATIVES = (("source", "source_file"), ("password", "password_file"))
"""Settings that give one thing in two ways: whoever gives it overrides both."""
_PRECEDENCE = ("flag", "environment", "file", "default")

SettingsT = TypeVar("SettingsT", bound=CommonSettings)


def flag_of(field: str) -> str:
    """Return a field's command-line flag."""
    return "--" + field.replace("_", "-")


def env_name(field: str) -> str:
    """Return a field's environment variable; its case does not matter."""
    return ENV_PREFIX + field.upper()


def is_secret(field: str) -> bool:
    """Return whether a field may be set in the environment only."""
    return field == "password"


def read_table(path: Path, model: type[CommonSettings]) -> dict[str, Any]:
    """Return what a TOML file says about a role's settings: the keys at its top, then those in the role's table.

    Args:
        path: the file.
        model: the role's settings. Its role may be one of `ROLES` or a further one, whose table is then known as well.

    Raises:
        UserError: the file cannot be read, is not TOML, or has a key that is not a setting, in whatever table.
    """
    models = {model.role: model} | ROLES
    document = read_toml(path, name=f"--config {path}")
    tables = {role: document.pop(role) for role in models if isinstance(document.get(role), dict)}
    _check_keys(path, "", document, CommonSettings, models)
    for role, table in tables.items():
        _check_keys(path, f"[{role}] ", table, models[role], models)
    values = document | tables.get(model.role, {})
    # Two models may share a role, and with it a table.
    return {key: _beside(path, key, value) for key, value in values.items() if key in model.model_fields}


def _beside(settings: Path, key: str, value: object) -> object:
    """Return the path of a file that lies beside the settings which name it; other values as they are.

    A node can then run in another folder than that of its settings, where its keys and password are. What is not there
    is looked for in the current folder.
    """
    if key not in _FILES or not isinstance(value, str) or not value or value.isdecimal():
        return value
    there = settings.parent / value
    try:
        return str(there) if there.exists() else value
    except (OSError, ValueError):
        return value


def _check_keys(
    path: Path,
    where: str,
    table: Mapping[str, object],
    model: type[CommonSettings],
    models: Mapping[str, type[CommonSettings]],
) -> None:
    for key in table:
        if is_secret(key):
            raise UserError(
                f"--config {path}: {where}{key}: a secret does not belong here; use VP_PASSWORD or password_file"
            )
        if key in model.model_fields:
            continue
        home = next((role for role, other in models.items() if key in other.model_fields), None)
        hint = f"; it belongs in [{home}]" if home is not None and not where else ""
        raise UserError(f"--config {path}: {where}{key}: there is no such setting{hint}")


def load(model: type[SettingsT], flags: Mapping[str, object], config: Path | None = None) -> SettingsT:
    """Return the settings of a role.

    Args:
        model: the role's settings.
        flags: the flags that were given, by field name.
        config: the TOML file, if any.

    Raises:
        UserError: a value is missing or wrong; the message names it and its source.
    """
    table = read_table(config, model) if config is not None else {}
    overridden = _overridden(model, flags, table, config)
    # pydantic-settings reads the environment itself, and prefers what it is given: the file's values, too, if they
    # were not left out here.
    from_file = {field: value for field, value in table.items() if source_of(field, flags, table) == "file"}
    unset = {field: model.model_fields[field].default for field in overridden}
    try:
        return model(**{**from_file, **flags, **unset})
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
    reason = error_reason(details)
    if not details["loc"]:
        raise UserError(reason)
    field = str(details["loc"][0])
    if details["type"] == "missing":
        raise UserError(f"{flag_of(field)} is missing: {model.model_fields[field].description}")
    name = _name_at_source(field, source_of(field, flags, table), config)
    given = details["input"]
    if isinstance(given, list):  # of a flag that was given several times
        given = " ".join(map(str, given))
    given, shown_as = str(given), repr(given)
    is_hidden = (
        is_secret(field) or (field == "password_file" and given not in reason) or hide_in_address(given) != given
    )
    is_named = bool(given) and re.search(rf"(?<!\w){re.escape(given)}(?!\w)", reason) is not None and len(given) > 1
    shown = "" if is_hidden or is_named else f" (given: {shown_as})"
    raise UserError(f"{name}: {reason}{shown}")


def _overridden(
    model: type[CommonSettings], flags: Mapping[str, object], table: Mapping[str, object], config: Path | None
) -> set[str]:
    """Return the settings that do not count, since a source of higher precedence gives the same in another way.

    Raises:
        UserError: one source gives it in both ways.
    """
    found = set()
    for pair in _ALTERNATIVES:
        sources = {field: source_of(field, flags, table) for field in pair if field in model.model_fields}
        if len(sources) < len(pair) or "default" in sources.values():
            continue
        ranks = {field: _PRECEDENCE.index(source) for field, source in sources.items()}
        if any(map(is_secret, pair)):
            # A secret cannot be a flag: its variable counts as one.
            ranks = {field: max(rank, _PRECEDENCE.index("environment")) for field, rank in ranks.items()}
        first, second = pair
        if ranks[first] == ranks[second]:
            names = (_name_at_source(field, sources[field], config) for field in pair)
            raise UserError(f"give either {' or '.join(names)}, not both")
        found.add(max(pair, key=ranks.__getitem__))
    return found


def _name_at_source(field: str, source: str, config: Path | None) -> str:
    """Return how a source calls a field."""
    return {"environment": env_name(field), "file": f"--config {config}: {field}"}.get(source, flag_of(field))


def source_of(field: str, flags: Mapping[str, object], table: Mapping[str, object]) -> str:
    """Return the source of a field's value: "flag", "environment", "file" or "default"."""
    if field in flags:
        return "flag"
    # What is empty is not set: Compose makes an empty variable of one that it does not know.
    if any(value and name.upper() == env_name(field) for name, value in os.environ.items()):
        return "environment"
    return "file" if field in table else "default"


def _as_given(value: object) -> str:
    """Return a value as its flag and its variable take it."""
    if value is None:
        return "(not set)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and all(isinstance(one, Region) for one in value):
        return " ".join(map(str, value)) or "(not set)"
    is_size = isinstance(value, tuple) and len(value) == 2 and all(isinstance(one, int) for one in value)  # noqa: PLR2004
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) and is_size else str(value)


def describe(settings: CommonSettings, flags: Mapping[str, object], config: Path | None) -> list[tuple[str, str, str]]:
    """Return (field, value, source) of every setting, for `--show-settings`; secrets are masked.

    Raises:
        UserError: the file cannot be read any more, or has been changed and contradicts itself.
    """
    model = type(settings)
    table = read_table(config, model) if config is not None else {}
    shown = {field: hide_in_address(_as_given(getattr(settings, field))) for field in model.model_fields}
    overridden = _overridden(model, flags, table, config)
    return [
        (field, value, "default" if field in overridden else source_of(field, flags, table))
        for field, value in shown.items()
    ]
