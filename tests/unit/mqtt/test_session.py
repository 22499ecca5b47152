"""How sessions fail, retry and stop, with a scripted broker."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from tests.support.scripted_broker import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    WAIT,
    ScriptedBroker,
    disconnect_packet,
    until,
)
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt import connection, session
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.session import Session, connected

UNREACHABLE = "mqtt://127.0.0.1:9"


class Ends:
    """The error with which a session ended."""

    def __init__(self) -> None:
        self.errors: list[UserError] = []
        self._ended = threading.Event()

    def __call__(self, error: UserError) -> None:
        self.errors.append(error)
        self._ended.set()

    def wait(self) -> str:
        assert self._ended.wait(WAIT)
        (error,) = self.errors
        return str(error)


# Permanent and temporary failures


@pytest.mark.parametrize("reason", [0x85, 0x86, 0x87, 0x8A, 0x8C])
def test_a_permanent_refusal_ends_the_session(reason: int, broker: ScriptedBroker) -> None:
    broker.connack = [reason]
    ends = Ends()
    with Session(BrokerOptions(url=broker.url), client_id="me", on_end=ends) as running:
        message = ends.wait()
        assert message.startswith(f"broker {broker.url}: it refused the connection: ")
        assert message.endswith("; check the account and its rights")
        with pytest.raises(UserError) as caught:
            running.wait_until_connected(WAIT)
        assert str(caught.value) == message
        with pytest.raises(UserError):
            running.check()
        assert broker.none_follows(CONNECT)
    assert broker.count(CONNECT) == 1
    assert not running.connected.is_set()
    assert running.connections == 0


@pytest.mark.parametrize("reason", [0x80, 0x81, 0x82, 0x83, 0x88, 0x89, 0x90, 0x95, 0x97, 0x99, 0x9C, 0x9F])
def test_a_temporary_refusal_is_retried(reason: int, broker: ScriptedBroker) -> None:
    broker.connack = [reason, reason, 0]
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        assert running.connections == 1
        running.check()
    assert broker.count(CONNECT) == 3


def test_a_session_that_was_connected_retries_after_any_refusal(broker: ScriptedBroker) -> None:
    broker.connack = [0, 0x87, 0x87, 0]
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        broker.hang_up()
        until(lambda: running.connections == 2)
        assert running.failure is None


def test_another_client_with_our_id_ends_the_session(broker: ScriptedBroker) -> None:
    ends = Ends()
    with connected(BrokerOptions(url=broker.url), client_id="me", on_end=ends):
        broker.send(disconnect_packet(0x8E))
        assert ends.wait() == "another client took over our id 'me': is it running twice? give one its own name"
        assert broker.none_follows(CONNECT)


@pytest.mark.parametrize("reason", [0x80, 0x8B, 0x8D, 0x95, 0x98])
def test_any_other_disconnect_is_followed_by_a_reconnect(reason: int, broker: ScriptedBroker) -> None:
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        broker.send(disconnect_packet(reason))
        until(lambda: running.connections == 2)
        running.check()


def test_a_packet_too_large_for_the_broker_is_logged(broker: ScriptedBroker, log: pytest.LogCaptureFixture) -> None:
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        broker.send(disconnect_packet(0x8B))
        until(lambda: running.connections == 2)
        assert "too large" not in log.text
        broker.send(disconnect_packet(0x95))
        until(lambda: running.connections == 3)
    assert log.text.count("a packet of ours was too large") == 1


def test_an_absent_broker_is_given_up_after_the_time_allowed(log: pytest.LogCaptureFixture) -> None:
    started = time.monotonic()
    with (
        pytest.raises(UserError) as caught,
        connected(BrokerOptions(url=UNREACHABLE, give_up_after_s=0.15), client_id="me"),
    ):
        pass
    assert time.monotonic() - started >= 0.15
    expected = f"broker {UNREACHABLE}: nothing listens at 127.0.0.1, port 9; is the address right, and is it running?"
    assert str(caught.value) == expected
    assert log.text.count("trying until it is there") == 1


def test_without_a_limit_an_absent_broker_is_never_given_up() -> None:
    with Session(BrokerOptions(url=UNREACHABLE), client_id="me") as running:
        assert not running.wait_until_connected(0.2)
        running.check()
        assert not running.is_stuck(WAIT)


def test_the_limit_applies_to_the_first_connection_only(broker: ScriptedBroker) -> None:
    with connected(BrokerOptions(url=broker.url, give_up_after_s=0.05), client_id="me") as running:
        broker.refuse_connections()
        broker.hang_up()
        until(lambda: not running.connected.is_set())
        time.sleep(0.15)
        running.check()


def test_waiting_for_a_connection_times_out() -> None:
    with (
        pytest.raises(UserError, match=r"no connection within 0\.05 s"),
        connected(BrokerOptions(url=UNREACHABLE), client_id="me", timeout_s=0.05),
    ):
        pass


def test_a_server_that_never_answers_connect_is_retried(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.05)
    broker.connack = [None, None, 0]
    with connected(BrokerOptions(url=broker.url), client_id="me"):
        assert broker.count(CONNECT) == 3
    assert log.text.count("no answer within 5 s; trying until it is there") == 1
    broker.await_packets(DISCONNECT, 3)


def test_a_connection_outlives_the_timeout_for_its_answer(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.05)
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        assert broker.none_follows(DISCONNECT, 0.2)
        assert running.connected.is_set()
        assert running.connections == 1


def test_stop_does_not_wait_for_a_server_that_never_answers(broker: ScriptedBroker) -> None:
    broker.connack = [None]
    running = Session(BrokerOptions(url=broker.url), client_id="me")
    running.start()
    broker.await_packets(CONNECT)
    started = time.monotonic()
    running.stop(timeout=WAIT)
    assert time.monotonic() - started < 2
    assert running.is_stuck(WAIT)


def test_no_thread_is_left_after_stop(broker: ScriptedBroker) -> None:
    before = set(threading.enumerate())
    with connected(BrokerOptions(url=broker.url), client_id="me"):
        assert any("paho" in thread.name for thread in set(threading.enumerate()) - before)
    assert not any("paho" in thread.name for thread in set(threading.enumerate()) - before)


def test_a_lost_connection_and_the_next_one_are_logged(broker: ScriptedBroker, log: pytest.LogCaptureFixture) -> None:
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        broker.hang_up()
        until(lambda: running.connections == 2)
        until(lambda: log.text.count(f"connected to the broker {broker.url}") == 2)
    assert log.text.count(f"lost the broker {broker.url} (connection closed); reconnecting") == 1
    assert "trying until" not in log.text


def test_start_reads_the_files_not_the_constructor(tmp_path: Path) -> None:
    options = BrokerOptions(url="mqtts://127.0.0.1:9", ca_file=tmp_path / "gone.pem")
    running = Session(options, client_id="me")
    with pytest.raises(UserError, match=r"--ca-file .*gone\.pem"):
        running.start()


def test_the_backoff_grows_with_failed_attempts_and_starts_over_after_a_connection_that_lasts(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LASTING_S", 0.05)
    attempts: list[int] = []

    def remember(attempt: int) -> float:
        attempts.append(attempt)
        return 0.001

    monkeypatch.setattr(session, "backoff", remember)
    broker.connack = [0x88, 0x88, 0x88, 0, 0x88, 0]
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        assert attempts == [0, 1, 2]
        broker.hang_up()
        until(lambda: running.connections == 2)
        assert attempts == [0, 1, 2, 3, 4]
        until(lambda: running._retries.attempt == 0)
        broker.hang_up()
        until(lambda: running.connections == 3)
    assert attempts == [0, 1, 2, 3, 4, 0]


def test_a_websocket_is_requested_at_the_path_of_the_url(log: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Session(BrokerOptions(url=f"ws://127.0.0.1:{port}/some/path"), client_id="me"):
            link, _ = server.accept()
            with link:
                assert link.recv(1000).startswith(b"GET /some/path HTTP/1.1\r\n")
                link.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
                until(lambda: f"no MQTT over WebSockets at 127.0.0.1, port {port} (" in log.text)


# The end


def test_stop_publishes_the_last_message_and_disconnects_cleanly(broker: ScriptedBroker) -> None:
    running = Session(BrokerOptions(url=broker.url), client_id="me")
    running.start()
    assert running.wait_until_connected(WAIT)
    running.stop(Outgoing("t", b"last", qos=1), timeout=WAIT)
    broker.await_packets(DISCONNECT)
    assert [one.kind for one in broker.packets] == [CONNECT, PUBLISH, DISCONNECT]
    assert not running.connected.is_set()
    assert running.is_stuck(WAIT)
    assert broker.none_follows(CONNECT, 0.05)


def test_stop_waits_no_longer_than_its_timeout(broker: ScriptedBroker) -> None:
    broker.puback = None
    running = Session(BrokerOptions(url=broker.url), client_id="me")
    running.start()
    assert running.wait_until_connected(WAIT)
    started = time.monotonic()
    running.stop(Outgoing("t", b"last", qos=1), timeout=0.1)
    assert 0.09 < time.monotonic() - started < WAIT / 2
    broker.await_packets(DISCONNECT)


def test_a_session_that_never_connected_stops_at_once() -> None:
    running = Session(BrokerOptions(url=UNREACHABLE), client_id="me")
    running.stop()
    running = Session(BrokerOptions(url=UNREACHABLE), client_id="me")
    running.start()
    started = time.monotonic()
    running.stop(Outgoing("t", b"last"), timeout=WAIT)
    assert time.monotonic() - started < WAIT / 2
    assert not running.wait_until_connected(0)


def test_stop_wakes_a_thread_that_waits_for_the_connection() -> None:
    running = Session(BrokerOptions(url=UNREACHABLE), client_id="me")
    running.start()
    threading.Timer(0.02, running.stop).start()
    started = time.monotonic()
    assert not running.wait_until_connected(WAIT)
    assert time.monotonic() - started < WAIT / 2


def test_the_end_callback_may_stop_the_session(broker: ScriptedBroker) -> None:
    broker.connack = [0x87]
    ended = threading.Event()

    def stop(_: UserError) -> None:
        running.stop()
        ended.set()

    running = Session(BrokerOptions(url=broker.url), client_id="me", on_end=stop)
    running.start()
    assert ended.wait(WAIT)


def test_connected_stops_its_session_after_an_exception(broker: ScriptedBroker) -> None:
    with pytest.raises(ZeroDivisionError), connected(BrokerOptions(url=broker.url), client_id="me"):
        raise ZeroDivisionError
    broker.await_packets(DISCONNECT)


def test_a_server_that_is_no_broker_is_diagnosed_once(broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[BrokerOptions] = []
    monkeypatch.setattr(session, "diagnose", asked.append)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.05)
    broker.connack = [None]
    options = BrokerOptions(url=broker.url)
    with Session(options, client_id="me"):
        broker.await_packets(CONNECT, 3)
    assert asked == [options]
    ends = Ends()
    monkeypatch.setattr(session, "diagnose", lambda _: "it speaks something else")
    with Session(options, client_id="me", on_end=ends):
        assert ends.wait() == f"broker {options.url}: it speaks something else"


@pytest.mark.parametrize(
    ("properties", "feature"),
    [
        (b"\x25\0", "retained messages, which"),
        (b"\x24\0", "QoS 1, which"),
        (b"\x28\0", "wildcard subscriptions"),
        (b"\x2a\0", "shared subscriptions ($share), which --replica needs"),
    ],
)
def test_a_broker_that_lacks_what_a_node_needs_ends_its_session(
    broker: ScriptedBroker, properties: bytes, feature: str
) -> None:
    broker.properties = properties
    ends = Ends()
    with connected(BrokerOptions(url=broker.url), client_id="me"):
        """A client without a will does without."""
    options, will = BrokerOptions(url=broker.url), Outgoing("t", b"", 1, retain=True)
    with Session(options, client_id="me", will=will, on_end=ends, subscriptions=[("$share/group/t", 0)]):
        assert ends.wait().startswith(f"broker {broker.url}: it does not offer {feature}")


def test_a_broker_without_shared_subscriptions_is_good_for_a_node_that_needs_none(broker: ScriptedBroker) -> None:
    broker.properties = b"\x2a\0"
    with Session(
        BrokerOptions(url=broker.url), client_id="me", will=Outgoing("t", b"", 1, retain=True), subscriptions=[("t", 0)]
    ) as listener:
        assert listener.wait_until_connected(10)
