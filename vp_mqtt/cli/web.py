"""`vp web`: the page of a site. What it needs is imported when it runs."""

from __future__ import annotations

import importlib.util
import sys
from typing import Annotated

import typer

from vp_mqtt.cli.settings_options import keyword, settings_command
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError

_NEEDED = (
    *("argon2", "itsdangerous", "jinja2", "prometheus_client", "python_multipart", "sse_starlette", "starlette"),
    "uvicorn",
)
_ROLES = ("viewer", "operator")


def require_web(purpose: str) -> None:
    """Check that what the page needs is installed.

    Args:
        purpose: what needs it, for the message.

    Raises:
        UserError: something is missing.
    """
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise UserError(f"{purpose} needs more packages: `pip install '.[web]'` in a clone of vp-mqtt")


def _web(settings: WebSettings, *, set_password: str | None) -> None:
    """Show a site in a browser: what is recognised and why, its boards, and its history."""
    require_web("vp web")
    if set_password is not None:
        _set_password(settings, set_password)
        return
    from vp_mqtt.web.server import run  # noqa: PLC0415

    run(settings)


def _set_password(settings: WebSettings, name: str) -> None:
    from vp_mqtt.web.security import passwords  # noqa: PLC0415
    from vp_mqtt.web.security.people import PageRole  # noqa: PLC0415

    if name not in _ROLES:
        raise UserError(f"--set-password {name}: write viewer or operator")
    path = settings.passwords_file or passwords.default_file()
    if sys.stdin.isatty():
        password = str(typer.prompt(f"Password of the {name}", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    passwords.set_password(path, PageRole(name), password)
    typer.echo(f"{path}: the password of the {name} is set; restart `vp web`")


_SET_PASSWORD = keyword(
    "set_password",
    Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            help="set the password of the viewer or the operator, which is asked for or read from a pipe, and exit",
        ),
    ],
)
web_command = settings_command(WebSettings, _web, [_SET_PASSWORD])
