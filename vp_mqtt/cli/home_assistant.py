"""`vp home-assistant-remove`: a site's device goes from Home Assistant."""

from __future__ import annotations

import time

import typer

from vp_mqtt.cli.settings_options import settings_command
from vp_mqtt.config.settings import RemoveSettings
from vp_mqtt.errors import UserError

_WITHIN_S = 10.0


def _remove(settings: RemoveSettings) -> None:
    """Remove a site's device and its entities from Home Assistant; stop a fusion node with --home-assistant first."""
    from vp_mqtt.integrations import home_assistant  # noqa: PLC0415
    from vp_mqtt.mqtt.session import Session  # noqa: PLC0415

    refused: list[UserError] = []
    session = Session(
        settings,
        client_id=f"vp-{settings.site}-{settings.node_name()}-remove",
        subscriptions=[],
        on_message=lambda _: None,
        on_end=refused.append,
    )
    session.start()
    try:
        while not session.connected.wait(0.05):
            if refused:
                raise refused[0]
        sent = session.publish(home_assistant.removal(settings.site))
        until = time.monotonic() + _WITHIN_S
        while sent is not None and sent.is_pending and time.monotonic() < until:
            time.sleep(0.01)
        if sent is None or sent.is_pending:
            raise UserError(f"broker {settings.broker}: the connection broke; try again")
    finally:
        session.stop()
    typer.echo(f"{home_assistant.config_topic(settings.site)} is cleared")


remove_command = settings_command(RemoveSettings, _remove)
