"""The metrics of one node, served to Prometheus."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.unit.integrations.metrics.test_site import stats, status, value
from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.errors import UserError
from vp_mqtt.local.ports import free_port
from vp_mqtt.nodes import metrics
from vp_mqtt.protocol.messages import StatsMessage, StatusMessage


def node() -> tuple[StatusMessage, StatsMessage]:
    return status("v2", "variant", variant=2), stats("v2", {"votes": 70})


@contextmanager
def served(address: ListenAddress) -> Iterator[None]:
    stop = metrics.serve(address, "home", node)
    try:
        yield
    finally:
        stop()


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_node_serves_its_metrics_until_it_stops(host: str, shown: str) -> None:
    address = ListenAddress(host, free_port())
    url = f"http://{shown}:{address.port}/metrics"
    with served(address), urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    assert value(text, "vp_variant_votes_total", site="home", node="v2", variant="2") == 70
    assert value(text, "vp_node_presence", node="v2") is None
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)


def test_a_port_that_is_taken_is_named() -> None:
    address = ListenAddress("127.0.0.1", free_port())
    with (
        served(address),
        pytest.raises(UserError, match=rf"--metrics 127.0.0.1:{address.port}: Address already in use"),
    ):
        metrics.serve(address, "home", node)


def test_an_address_of_another_machine_is_named() -> None:
    # TEST-NET-3 of RFC 5737: nobody's.
    with pytest.raises(UserError, match="give an address of this machine"):
        metrics.serve(ListenAddress("203.0.113.7", 0), "home", node)


def test_without_the_extra_its_command_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install '\.\[metrics\]'"):
        metrics.serve(ListenAddress("127.0.0.1", 0), "home", node)


def test_nothing_is_served_unless_it_is_wanted() -> None:
    metrics.serve(None, "home", node)()
