"""A name with several addresses: every attempt begins with the next one."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt.client import new_client

ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::3"]


@pytest.mark.parametrize("turn", range(4))
def test_all_addresses_are_tried_beginning_with_the_one_whose_turn_it_is(
    monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    tried: list[str] = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        assert address[1] == 1883
        assert timeout > 0
        tried.append(address[0])
        raise ConnectionRefusedError(address[0])

    def look_up(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        assert host == "brokers.example"
        return [(None, None, None, None, (address, port)) for address in ADDRESSES for _ in range(2)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", refuse)
    client = new_client(BrokerOptions(url="mqtt://brokers.example"), None, "me", None)
    client.turn = turn
    with pytest.raises(ConnectionRefusedError):
        client.connect("brokers.example", 1883)
    first = turn % 3
    assert tried == ADDRESSES[first:] + ADDRESSES[:first]


def test_a_link_local_address_is_tried_on_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[Any, ...]] = []

    def refuse(address: tuple[str, int], _timeout: float) -> None:
        # As `create_connection` looks it up.
        tried.extend(one[4] for one in socket.getaddrinfo(*address, type=socket.SOCK_STREAM))
        raise ConnectionRefusedError

    index, name = socket.if_nameindex()[0]
    options = BrokerOptions(url=f"mqtt://[fe80::1%{name}]:1883")
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(ConnectionRefusedError):
        new_client(options, None, "me", None).connect(options.host, options.port)
    assert tried == [("fe80::1", 1883, 0, index)]
