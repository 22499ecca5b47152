"""Serves a node's metrics where they are wanted; prometheus_client is imported only then."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.messages import StatsMessage, StatusMessage


def serve(
    address: ListenAddress | None, site: str, node: Callable[[], tuple[StatusMessage, StatsMessage]]
) -> Callable[[], None]:
    """Serve a node's metrics, and return what stops that.

    Args:
        address: where to listen; None: nowhere.
        site: the site's name.
        node: returns the node's status and stats as they are now.

    Raises:
        UserError: prometheus_client is not installed, or the address is taken or not one of this machine.
    """
    if address is None:
        return lambda: None
    if importlib.util.find_spec("prometheus_client") is None:
        raise UserError("--metrics needs one more package: `pip install '.[metrics]'` in a clone of vp-mqtt")
    from vp_mqtt.integrations.metrics.server import MetricsServer  # noqa: PLC0415

    server = MetricsServer(address, site, node)
    server.start()
    return server.stop
