"""Why a connection failed, in words that help the user, and whether trying again can help."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, replace

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError

NEEDS_MQTT_5 = "vp-mqtt needs a broker that does, such as Mosquitto (docs/brokers.md)"
CONNECT_TIMEOUT_S = 5.0
"""How long a broker may take to accept a connection, and again to answer CONNECT."""

_SESSION_TAKEN_OVER = 0x8E
_UNSUPPORTED_VERSION = 0x84
RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED, WILDCARDS_NOT_SUPPORTED, SHARED_NOT_SUPPORTED = 0x9A, 0x9B, 0xA2, 0x9E
"""Reason codes of a broker without retained messages, QoS 1, + and # in subscriptions, or shared subscriptions."""
# Reason codes of CONNACK (MQTT 5.0, section 3.2.2.2) that stay as they are: client id, user name or password,
# authorisation, banned, authentication method.
_PERMANENT_REFUSALS = {0x85, 0x86, 0x87, 0x8A, 0x8C}
# What a broker may do without (section 2.4), and the options of Mosquitto that say so.
_MISSING_FEATURES = {
    RETAIN_NOT_SUPPORTED: "retained messages, which statuses and bundles need (Mosquitto: retain_available)",
    QOS_NOT_SUPPORTED: "QoS 1, which announces and statuses need (Mosquitto: max_qos)",
    WILDCARDS_NOT_SUPPORTED: "wildcard subscriptions, which nodes need to find each other",
    SHARED_NOT_SUPPORTED: "shared subscriptions ($share), which --replica needs: run each variant on one board",
}
_KEEPALIVE_TIMEOUT = 0x8D
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
_NOT_VALID_NOW = {9, 10}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection ended or was not made.

    Attributes:
        problem: in a few words, for a log line.
        error: what to tell the user if the failure is permanent; None if trying again may help.
        is_config_error: whether it points to a wrong setting. Then it is permanent only for a session that has never
            been connected: for a later one, which had the right settings, it is the broker that is being changed.
        is_unexplained: whether it may be that something else than an MQTT 5 broker answers at the address.
    """

    problem: str
    error: UserError | None = None
    is_config_error: bool = True
    is_unexplained: bool = False

    def is_permanent(self, *, was_connected: bool) -> bool:
        """Return whether trying again cannot help.

        Args:
            was_connected: whether the session has been connected before, with the same settings.
        """
        return self.error is not None and not (self.is_config_error and was_connected)

    def explained(self, diagnosis: str | None, options: BrokerOptions) -> Failure:
        """Return the failure with what was found out about it, if anything was."""
        return self if diagnosis is None else _permanent(diagnosis, options)


def is_without_mqtt_5(error: UserError) -> bool:
    """Return whether a session ended because its broker does not speak MQTT 5."""
    return NEEDS_MQTT_5 in str(error)


def _permanent(problem: str, options: BrokerOptions, hint: str = "") -> Failure:
    return Failure(problem, UserError(f"broker {options.address}: {problem}{hint}"))


def of_connecting(error: Exception, options: BrokerOptions) -> Failure:
    """Return why no connection could be made: an exception of the socket, TLS or the WebSocket handshake."""
    host, port = options.host, options.port
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "the clocks here and there" if error.verify_code in _NOT_VALID_NOW else "--ca-file and the host name"
        return _permanent(f"its certificate is not accepted ({error.verify_message}); check {hint}", options)
    if isinstance(error, socket.gaierror):
        # Even a name that is not known may be soon: of a machine that starts with this one, or without a network yet.
        return Failure(f"the host name '{host}' is not known")
    if isinstance(error, ConnectionRefusedError):
        return Failure(f"nothing listens at {host}, port {port}")
    if isinstance(error, TimeoutError):
        return Failure(f"no answer from {host}, port {port}", is_unexplained=True)
    if isinstance(error, mqtt.WebsocketConnectionError):
        return Failure(f"no MQTT over WebSockets at {host}, port {port} ({error})", is_unexplained=True)
    is_unexplained = isinstance(error, (ssl.SSLError, ConnectionResetError))
    return Failure(str(error) or type(error).__name__, is_unexplained=is_unexplained)


def of_refusal(reason: ReasonCode, options: BrokerOptions) -> Failure:
    """Return why the broker answered CONNECT with a refusal."""
    if reason.value == _UNSUPPORTED_VERSION:
        return _permanent(f"it does not speak MQTT 5; {NEEDS_MQTT_5}", options)
    if reason.value in _MISSING_FEATURES:
        return of_missing_feature(reason.value, options)
    problem = f"it refused the connection: {reason}"
    if reason.value not in _PERMANENT_REFUSALS:
        return Failure(problem)
    return _permanent(problem, options, "; check the account and its rights")


def of_missing_feature(reason: int, options: BrokerOptions) -> Failure:
    """Return what the broker does without, by the reason code that names it."""
    return _permanent(f"it does not offer {_MISSING_FEATURES[reason]}", options)


def of_tls_alert(log_line: str, options: BrokerOptions) -> Failure:
    """Return why the broker ended the connection with a TLS alert, which paho only logs."""
    alert = log_line.rpartition("alert ")[2].partition(" (")[0]
    problem = "it wants a client certificate" if options.cert_file is None else "it refused our certificate"
    return _permanent(f"{problem} ({alert})", options, "; check --cert-file and --key-file")


def of_disconnect(reason: ReasonCode, options: BrokerOptions, client_id: str) -> Failure:
    """Return why the broker sent DISCONNECT."""
    if reason.value in _MISSING_FEATURES:
        return replace(of_missing_feature(reason.value, options), is_config_error=False)
    if reason.value != _SESSION_TAKEN_OVER:
        return Failure(str(reason))
    message = f"another client took over our id '{client_id}': is it running twice? give one its own name"
    return Failure(str(reason), UserError(message), is_config_error=False)


def of_loss(reason: ReasonCode, options: BrokerOptions) -> Failure | None:
    """Return why we have given up a connection; None if it was not our decision."""
    if reason.value != _KEEPALIVE_TIMEOUT:
        return None
    return Failure(f"no answer to a ping within {options.keepalive_s:g} s")


def of_silence() -> Failure:
    """Return why a server that accepts connections but does not answer CONNECT is given up."""
    return Failure(f"no answer within {CONNECT_TIMEOUT_S:g} s", is_unexplained=True)


def of_close(options: BrokerOptions, *, was_open: bool) -> Failure:
    """Return why the connection was closed without a word from the broker.

    Args:
        options: how the broker was reached.
        was_open: whether it had accepted the connection.
    """
    # The TLS alert can be lost: a broker that closes while we send CONNECT resets the connection.
    if options.uses_tls and not was_open:
        problem = "connection closed before it answered: it may want a certificate, check --cert-file and --key-file"
        return Failure(problem, is_unexplained=True)
    return Failure("connection closed", is_unexplained=not was_open)
