from __future__ import annotations

import dataclasses

import pytest

from vp_mqtt.config.broker import BrokerOptions, check_url


@pytest.mark.parametrize(
    ("url", "host", "port", "uses_tls", "uses_websockets", "path"),
    [
        ("mqtt://broker", "broker", 1883, False, False, "/mqtt"),
        ("mqtts://broker", "broker", 8883, True, False, "/mqtt"),
        ("ws://broker", "broker", 80, False, True, "/mqtt"),
        ("wss://broker/some/path", "broker", 443, True, True, "/some/path"),
        ("mqtt://someone@[::1]:1234", "::1", 1234, False, False, "/mqtt"),
    ],
)
def test_parts_of_the_url(*, url: str, host: str, port: int, uses_tls: bool, uses_websockets: bool, path: str) -> None:
    options = BrokerOptions(url=url)
    assert (options.host, options.port) == (host, port)
    assert (options.uses_tls, options.uses_websockets) == (uses_tls, uses_websockets)
    assert options.path == path


def test_the_username_takes_precedence_over_the_url() -> None:
    options = BrokerOptions(url="mqtt://in-url@broker")
    assert options.account == "in-url"
    assert dataclasses.replace(options, username="named").account == "named"
    assert BrokerOptions().account is None


@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("mqtt://pa%40ss@broker", "pa@ss"),
        ("mqtt://a%3Ab%20c@broker", "a:b c"),
        ("mqtt://100%25@broker", "100%"),
        ("mqtt://50%@broker", "50%"),
        ("mqtt://j%C3%BCrgen@broker", "jürgen"),
        ("mqtt://broker", None),
    ],
)
def test_escapes_in_the_user_name_of_the_url_are_decoded(url: str, account: str | None) -> None:
    assert BrokerOptions(url=url).account == account


def test_a_user_name_cannot_have_a_control_character() -> None:
    with pytest.raises(ValueError, match="user name with a control character"):
        check_url("mqtt://a%00b@broker")


def test_the_address_with_another_scheme_has_the_same_host_and_port() -> None:
    assert BrokerOptions(url="mqtt://me@broker").address_with("mqtts") == "mqtts://broker:1883"
    assert BrokerOptions(url="wss://[::1]:9/mqtt").address_with("ws") == "ws://[::1]:9"


def test_the_password_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(BrokerOptions(username="someone", password="hunter2"))


def test_an_invalid_url_is_refused() -> None:
    with pytest.raises(ValueError, match="write mqtt://HOST:1883"):
        BrokerOptions(url="localhost")


def test_defaults() -> None:
    options = BrokerOptions()
    assert options.url == "mqtt://127.0.0.1:1883"
    assert (options.keepalive_s, options.give_up_after_s) == (10, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.url = "mqtt://other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("mqtt://a,b:1884,[::1]:2", ["mqtt://a", "mqtt://b:1884", "mqtt://[::1]:2"]),
        ("mqtts://a:1,mqtts://b:2", ["mqtts://a:1", "mqtts://b:2"]),
        ("mqtt://u@a,b", ["mqtt://u@a", "mqtt://u@b"]),
        ("wss://a,b/mqtt", ["wss://a/mqtt", "wss://b/mqtt"]),
        ("ws://a/x,y", ["ws://a/x,y"]),
    ],
)
def test_the_brokers_of_a_cluster_are_named_with_commas(url: str, each: list[str]) -> None:
    options = BrokerOptions(url=url, username="alice", keepalive_s=3)
    assert [one.url for one in options.each()] == each
    assert all((one.account, one.keepalive_s) == ("alice", 3) for one in options.each())
    assert (options.host, options.port) == (options.each()[0].host, options.each()[0].port)
    assert options.address == url.replace("u@", "***@").replace("/x,y", "/***").replace(",mqtts://", ",")


@pytest.mark.parametrize(
    "url",
    ["mqtt://a,", "mqtt://a,,b", "mqtt://a,b:x", "mqtt://a,mqtts://b", "mqtt://u:se,cret@a,b", "mqtt://a:1,mqtt://u@b"],
)
def test_a_wrong_address_among_several_is_refused_without_a_password_in_the_message(url: str) -> None:
    with pytest.raises(ValueError, match=r"write|keep the password") as found:
        check_url(url)
    assert "cret" not in str(found.value)
