from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt import failure

OPTIONS = BrokerOptions(url="mqtts://broker.example:1234")
WITH_CERTIFICATE = replace(OPTIONS, cert_file=Path("own.crt"), key_file=Path("own.key"))
ADDRESS = "broker mqtts://broker.example:1234: "


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code = code
    error.verify_message = "it is bad"
    return error


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ConnectionRefusedError(), "nothing listens at broker.example, port 1234"),
        (TimeoutError(), "no answer from broker.example, port 1234"),
        (
            mqtt.WebsocketConnectionError("no upgrade"),
            "no MQTT over WebSockets at broker.example, port 1234 (no upgrade)",
        ),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "the host name 'broker.example' is not known"),
        (socket.gaierror(socket.EAI_NONAME, "no"), "the host name 'broker.example' is not known"),
        (OSError("the network is down"), "the network is down"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_temporary_failures(error: Exception, problem: str) -> None:
    found = failure.of_connecting(error, OPTIONS)
    assert found.problem == problem
    assert found.error is None
    assert not found.is_permanent(was_connected=False)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (certificate_error(9), "its certificate is not accepted (it is bad); check the clocks here and there"),
        (certificate_error(10), "its certificate is not accepted (it is bad); check the clocks here and there"),
        (certificate_error(18), "its certificate is not accepted (it is bad); check --ca-file and the host name"),
    ],
)
def test_config_errors_are_permanent_unless_the_session_was_connected(error: Exception, message: str) -> None:
    found = failure.of_connecting(error, OPTIONS)
    assert str(found.error) == ADDRESS + message
    assert found.is_permanent(was_connected=False)
    assert not found.is_permanent(was_connected=True)


def test_a_session_taken_over_is_always_a_permanent_failure() -> None:
    found = failure.of_disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=0x8E), OPTIONS, "me")
    assert found.is_permanent(was_connected=True)
    assert found.is_permanent(was_connected=False)


def test_a_tls_alert_points_to_our_certificate() -> None:
    reason = "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)"
    line = f"failed to receive on socket: {reason}"
    found = failure.of_tls_alert(line, OPTIONS)
    assert found.problem == "it wants a client certificate (certificate required)"
    assert str(found.error) == f"{ADDRESS}{found.problem}; check --cert-file and --key-file"
    assert found.is_permanent(was_connected=False)
    assert not found.is_permanent(was_connected=True)
    found = failure.of_tls_alert(line, WITH_CERTIFICATE)
    assert found.problem == "it refused our certificate (certificate required)"
    assert str(found.error) == f"{ADDRESS}{found.problem}; check --cert-file and --key-file"
    assert found.is_permanent(was_connected=False)


@pytest.mark.parametrize(
    ("url", "was_open", "has_hint"),
    [
        ("mqtts://broker", False, True),
        ("wss://broker", False, True),
        ("mqtts://broker", True, False),
        ("mqtt://broker", False, False),
    ],
)
def test_a_close_before_the_answer_over_tls_points_to_our_certificate(
    url: str, *, was_open: bool, has_hint: bool
) -> None:
    found = failure.of_close(BrokerOptions(url=url), was_open=was_open)
    assert found.problem.startswith("connection closed")
    assert ("check --cert-file and --key-file" in found.problem) == has_hint
    assert found.error is None


def test_a_tls_alert_is_named_by_its_last_words() -> None:
    line = "failed (alert level): [SSL: X] sslv3 alert certificate expired (_ssl.c:2580) (errno 1)"
    found = failure.of_tls_alert(line, WITH_CERTIFICATE)
    assert found.problem == "it refused our certificate (certificate expired)"


@pytest.mark.parametrize(("reason", "is_permanent"), [("Session taken over", True), ("Server busy", False)])
def test_the_brokers_own_reason_for_a_disconnect_is_kept(reason: str, *, is_permanent: bool) -> None:
    found = failure.of_disconnect(ReasonCode(PacketTypes.DISCONNECT, reason), OPTIONS, "me")
    assert found.problem == reason
    assert found.is_permanent(was_connected=True) == is_permanent


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (0x84, "it does not speak MQTT 5; vp-mqtt needs a broker that does, such as Mosquitto (docs/brokers.md)"),
        (0x9A, "it does not offer retained messages, which statuses and bundles need (Mosquitto: retain_available)"),
        (0x9B, "it does not offer QoS 1, which announces and statuses need (Mosquitto: max_qos)"),
        (0x87, "it refused the connection: Not authorized; check the account and its rights"),
    ],
)
def test_a_refusal_names_what_the_broker_lacks(code: int, problem: str) -> None:
    found = failure.of_refusal(ReasonCode(PacketTypes.CONNACK, identifier=code), OPTIONS)
    assert str(found.error) == ADDRESS + problem
    assert found.is_permanent(was_connected=False)
    assert not found.is_permanent(was_connected=True)


def test_a_broker_that_lacks_a_feature_ends_the_session_when_it_is_used() -> None:
    found = failure.of_disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=0x9A), OPTIONS, "me")
    assert "it does not offer retained messages" in str(found.error)
    assert found.is_permanent(was_connected=True)


def test_an_unanswered_ping_is_named() -> None:
    found = failure.of_loss(ReasonCode(PacketTypes.DISCONNECT, identifier=0x8D), OPTIONS)
    assert found is not None
    assert found.problem == "no answer to a ping within 10 s"
    assert failure.of_loss(ReasonCode(PacketTypes.DISCONNECT, identifier=0x80), OPTIONS) is None


@pytest.mark.parametrize(
    ("found", "is_unexplained"),
    [
        (failure.of_close(OPTIONS, was_open=False), True),
        (failure.of_close(OPTIONS, was_open=True), False),
        (failure.of_silence(), True),
        (failure.of_connecting(ConnectionResetError(), OPTIONS), True),
        (failure.of_connecting(ssl.SSLError("wrong version number"), OPTIONS), True),
        (failure.of_connecting(mqtt.WebsocketConnectionError("no upgrade"), OPTIONS), True),
        (failure.of_connecting(ConnectionRefusedError(), OPTIONS), False),
        (failure.of_connecting(TimeoutError(), OPTIONS), True),
    ],
)
def test_failures_that_may_be_due_to_another_protocol(found: failure.Failure, *, is_unexplained: bool) -> None:
    assert found.is_unexplained == is_unexplained
    assert found.explained(None, OPTIONS) is found
    explained = found.explained("it speaks TLS", OPTIONS)
    assert str(explained.error) == ADDRESS + "it speaks TLS"
    assert explained.is_permanent(was_connected=False)
