"""Sessions over TLS, with a scripted broker."""

from __future__ import annotations

import ssl
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import trustme

from tests.support.scripted_broker import PUBLISH, WAIT, ScriptedBroker, until
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt import client
from vp_mqtt.mqtt.connection import Callbacks, Connection
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.session import connected


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def server(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def failure(options: BrokerOptions) -> str:
    with pytest.raises(UserError) as caught, connected(options, client_id="me", timeout_s=WAIT):
        pass
    return str(caught.value)


def test_a_verified_broker(server: ssl.SSLContext, ca_file: Path) -> None:
    with (
        ScriptedBroker(tls=server) as broker,
        connected(BrokerOptions(url=broker.url, ca_file=ca_file), client_id="me") as running,
    ):
        assert running._connection is not None
        assert running._connection._client.on_log is None, "formatting paho's log lines costs time with every packet"
        running.publish(Outgoing("t", b"hello"))
        assert broker.await_packets(PUBLISH)[0].topic == "t"


def test_a_broker_of_an_unknown_authority_is_a_permanent_failure(server: ssl.SSLContext) -> None:
    with ScriptedBroker(tls=server) as broker:
        message = failure(BrokerOptions(url=broker.url))
        assert message.startswith(f"broker {broker.url}: its certificate is not accepted (")
        assert message.endswith("; check --ca-file and the host name")


def test_a_missing_client_certificate_is_reported(
    authority: trustme.CA, server: ssl.SSLContext, ca_file: Path, tmp_path: Path
) -> None:
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    with ScriptedBroker(tls=server) as broker:
        options = BrokerOptions(url=broker.url, ca_file=ca_file, give_up_after_s=0.001)
        # The alert is lost if the broker closes while we send CONNECT.
        assert "check --cert-file and --key-file" in failure(options)
        own, file = authority.issue_cert("me"), tmp_path / "me.pem"
        own.private_key_and_cert_chain_pem.write_to_path(str(file))
        options = BrokerOptions(url=broker.url, ca_file=ca_file, cert_file=file, key_file=file)
        with connected(options, client_id="me", timeout_s=WAIT) as running:
            assert running.connections == 1


def new_connection(tls: ssl.SSLContext | None) -> Connection:
    def nothing(_: object = None) -> None:
        """Do nothing."""

    return Connection(
        BrokerOptions(url="mqtts://broker"),
        client_id="me",
        will=None,
        max_packet_bytes=1000,
        callbacks=Callbacks(
            on_message=nothing,
            on_pause=nothing,
            on_refused=lambda _topic, _reason: None,
            on_open=nothing,
            on_lasting=nothing,
            on_close=nothing,
        ),
        tls=tls,
    )


def test_a_tls_alert_after_the_handshake_is_found_in_pahos_log() -> None:
    one = new_connection(ssl.create_default_context())
    log = one._client.on_log
    assert log is not None
    alert = "failed to receive on socket: [SSL: ...] tlsv13 alert certificate required (_ssl.c:2580)"
    log(one._client, None, mqtt.MQTT_LOG_ERR, "failed to receive on socket: reset")
    log(one._client, None, mqtt.MQTT_LOG_DEBUG, alert)
    until(lambda: one._failure is None)
    log(one._client, None, mqtt.MQTT_LOG_ERR, alert)
    assert one._failure is not None
    assert one._failure.problem == "it wants a client certificate (certificate required)"


def test_what_reading_fails_with_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> bytes:
        raise ssl.SSLError(1, "[SSL: ...] tlsv13 alert certificate required (_ssl.c:2580)")

    one = new_connection(ssl.create_default_context())
    monkeypatch.setattr(one._client, "_sock_recv", fail)
    one._client.loop_read()
    assert one._failure is not None
    assert "certificate required" in one._failure.problem


def test_without_tls_paho_logs_nothing() -> None:
    assert new_connection(None)._client.on_log is None


def test_the_timeout_of_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 1.5)
    assert new_connection(None)._client.connect_timeout == 1.5
