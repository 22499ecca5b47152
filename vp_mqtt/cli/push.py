"""`vp push` and `vp keygen`."""

from __future__ import annotations

import inspect
import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.cli.settings_options import settings_command
from vp_mqtt.config.settings import PushSettings


def _push(settings: PushSettings, *, bundle: str | None, rollback: bool, json: bool) -> None:
    """Publish a bundle at the broker, and switch the boards of a site to it; or go back to the one before."""
    from vp_mqtt.bundle import publish  # noqa: PLC0415

    done = publish.run(settings, bundle, rollback=rollback)
    if json:
        typer.echo(json_module.dumps(done))
        return
    typer.echo(f"site '{settings.site}' runs '{done['bundle']}' ({str(done['digest'])[:8]})")
    if done["previous"]:
        typer.echo(f"back to the one before ({str(done['previous'])[:8]}): vp push --rollback")


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_EXTRA = [
    inspect.Parameter(
        "bundle",
        _KEYWORD,
        default=None,
        annotation=Annotated[str | None, typer.Argument(help="a bundle's folder, or the name of one in the box")],
    ),
    inspect.Parameter(
        "rollback",
        _KEYWORD,
        default=False,
        annotation=Annotated[bool, typer.Option("--rollback", help="go back to the bundle before")],
    ),
    inspect.Parameter(
        "json",
        _KEYWORD,
        default=False,
        annotation=Annotated[bool, typer.Option("--json", help="print what was done as one JSON object")],
    ),
]

push_command = settings_command(PushSettings, _push, _EXTRA)


def keygen(
    path: Annotated[Path, typer.Argument(help="file for the private key; the public one goes beside it, as PATH.pub")],
) -> None:
    """Make a pair of Ed25519 keys: the private one signs bundles (vp push --sign), the public one checks them."""
    from vp_mqtt.bundle import signing  # noqa: PLC0415

    public = signing.generate(path)
    typer.echo(f"{path}: keep it to yourself, and sign with it: vp push BUNDLE --sign {path}")
    typer.echo(f"{public}: copy it to every board and to the fusion node: --bundle-key {public.name}")
