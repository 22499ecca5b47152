"""`vp home-assistant-remove`: removes a site's device from Home Assistant."""

from __future__ import annotations

import time

import typer

from vp_mqtt.cli.settings_options import settings_command
from vp_mqtt.config.settings import RemoveSettings
from vp_mqtt.errors import UserError

_WITHIN_S = 10.0
_RETAINED_WITHIN_S = 1.0


def _remove(settings: RemoveSettings) -> None:
    """Remove a site's device and its entities from Home Assistant; stop a fusion node with --home-assistant first."""
    from vp_mqtt.integrations import home_assistant  # noqa: PLC0415
    from vp_mqtt.mqtt.message import Outgoing  # noqa: PLC0415
    from vp_mqtt.mqtt.session import connected  # noqa: PLC0415
    from vp_mqtt.protocol.topics import ANY, Topics  # noqa: PLC0415

    client_id = f"vp-{settings.site}-{settings.node_name()}-remove"
    kept: set[str] = set()
    with connected(
        settings.broker_options(),
        client_id=client_id,
        subscriptions=[(Topics(settings.site).presence(ANY), 1)],
        on_message=lambda message: kept.add(message.topic) if message.retained and message.payload else None,
    ) as session:
        time.sleep(_RETAINED_WITHIN_S)
        clearing = [Outgoing(topic, b"", qos=1, retain=True) for topic in sorted(kept)]
        for message in [home_assistant.removal(settings.site), *clearing]:
            sent = session.publish(message)
            if sent is None or not sent.wait(_WITHIN_S):
                raise UserError(f"broker {settings.broker}: the connection broke; try again")
            if sent.is_refused:
                raise UserError(
                    f"broker {settings.broker}: this account may not publish to {message.topic}; use another one"
                )
    typer.echo(
        f"{home_assistant.config_topic(settings.site)} is cleared: a device of that site, if there was one, is removed"
    )


remove_command = settings_command(RemoveSettings, _remove)
