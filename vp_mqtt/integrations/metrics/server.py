"""Serves the metrics of one node to Prometheus."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.errors import UserError
from vp_mqtt.integrations.metrics.families import Families
from vp_mqtt.integrations.metrics.nodes import add_stats, add_status
from vp_mqtt.logs import LOGGER
from vp_mqtt.protocol.messages import StatsMessage, StatusMessage

NodeNow = Callable[[], tuple[StatusMessage, StatsMessage]]
"""Returns a node's status and stats as they are now."""


class _NodeCollector(Collector):
    """Fills the metrics whenever they are read."""

    def __init__(self, site: str, node: NodeNow) -> None:
        """Prepare for a node."""
        self._site = site
        self._node = node

    def collect(self) -> Iterable[Metric]:
        """Return the node's metrics as they are now."""
        families = Families()
        status, stats = self._node()
        add_status(families, self._site, status)
        add_stats(families, self._site, status, stats)
        return families.all()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not read the node when it is built."""
        return ()


class MetricsServer:
    """Serves a node's metrics: build it, `start`, `stop`."""

    def __init__(self, address: ListenAddress, site: str, node: NodeNow) -> None:
        """Prepare, without listening.

        Args:
            address: where to listen.
            site: the site's name.
            node: whose metrics they are.
        """
        self._address = address
        self._collector = _NodeCollector(site, node)
        self._running: tuple[WSGIServer, Thread] | None = None

    def start(self) -> None:
        """Listen, and answer in threads.

        Raises:
            UserError: the address is taken, or not one of this machine.
        """
        registry = CollectorRegistry()
        registry.register(self._collector)
        host, port = self._address.host, self._address.port
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self._running = start_http_server(port, host, registry)
        except OSError as error:
            is_foreign = error.errno == errno.EADDRNOTAVAIL
            advice = "give an address of this machine" if is_foreign else "choose another port"
            raise UserError(f"--metrics {shown}: {error.strerror}; {advice}") from None
        LOGGER.info("/metrics is served at %s", shown if port else f"{host}, port {self._running[0].server_port}")

    def stop(self) -> None:
        """Stop listening."""
        if self._running is not None:
            server, thread = self._running
            self._running = None
            server.shutdown()
            server.server_close()
            thread.join()
