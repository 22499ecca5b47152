"""Passwords in settings that others on the machine can see: in the process list, or in a file that they can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vp_mqtt.config.loading import env_name, flag_of, read_table
from vp_mqtt.config.settings import CommonSettings
from vp_mqtt.files import is_readable_by_others
from vp_mqtt.masking import holds_secret

_FILE_SETTINGS = {"source": "source_file"}
"""Settings whose value can stand in a file of its own."""


def exposed(model: type[CommonSettings], flags: Mapping[str, object], config: Path | None) -> Iterator[str]:
    """Yield a warning for every setting whose value holds a password or token that others can see.

    Args:
        model: the role's settings.
        flags: the flags that were given, by field name.
        config: the TOML file, if any.

    Raises:
        UserError: the file cannot be read any more.
    """
    for field, value in flags.items():
        if holds_secret(str(value)):
            more = f" or {flag_of(_FILE_SETTINGS[field])}" if field in _FILE_SETTINGS else ""
            yield (
                f"{flag_of(field)} holds a password or token, which everyone on this machine can see in the process "
                f"list: use {env_name(field)}{more} instead"
            )
    if config is None:
        return
    for field, value in read_table(config, model).items():
        if holds_secret(str(value)) and is_readable_by_others(config):
            yield f"--config {config}: {field} holds a password or token, and others can read the file: chmod 600 it"
