"""`vp push` and `vp keygen`."""

from __future__ import annotations

import json as json_module
import shlex
from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.cli.common_options import Json
from vp_mqtt.cli.settings_options import keyword, settings_command
from vp_mqtt.config.settings import PushSettings


def _push(settings: PushSettings, *, bundle: str | None, rollback: bool, json: bool) -> None:
    """Publish a bundle to the broker and switch a site's boards to it, or roll back to the previous one."""
    from vp_mqtt.bundle import publish  # noqa: PLC0415

    done = publish.run(settings, bundle, rollback=rollback)
    if json:
        typer.echo(json_module.dumps(done.as_dict()))
    else:
        typer.echo(f"the bundle of site '{settings.site}' is now '{done.bundle}' ({done.digest[:8]})")
        typer.echo("\n".join(done.adoption.lines(done.bundle)))
        if done.previous:
            key = shlex.quote(str(settings.sign)) if settings.sign is not None else "KEY" * done.previous_signed
            signs = f" --sign {key}" if key else ""
            typer.echo(f"to return to the previous bundle ({done.previous[:8]}): vp push --rollback{signs}")
    raise typer.Exit(1 if done.adoption.is_refused else 0)


_EXTRA = (
    keyword("bundle", Annotated[str | None, typer.Argument(help="the bundle: a folder, or the name of a bundled one")]),
    keyword(
        "rollback", Annotated[bool, typer.Option("--rollback", help="return to the previous bundle")], default=False
    ),
    keyword("json", Json, default=False),
)

push_command = settings_command(PushSettings, _push, _EXTRA)


def keygen(
    path: Annotated[Path, typer.Argument(help="file for the private key; the public key is written to PATH.pub")],
) -> None:
    """Create an Ed25519 key pair: the private key signs bundles (vp push --sign), the public key verifies them."""
    from vp_mqtt.bundle import signing  # noqa: PLC0415

    public = signing.generate(path)
    typer.echo(f"{path}: keep it secret, and sign with it: vp push BUNDLE --sign {path}")
    typer.echo(f"{public}: copy it to every board and to the fusion node: --bundle-key {public.name}")
