"""Why a connection failed, in words that help the user, and whether trying again can help."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError

CONNECT_TIMEOUT_S = 5.0
"""How long a broker may take to accept a connection, and again to answer CONNECT."""

_SESSION_TAKEN_OVER = 0x8E
# Reason codes of CONNACK (MQTT 5.0, section 3.2.2.2) that stay as they are: protocol version, client id, user name or
# password, authorisation, banned, authentication method.
_PERMANENT_REFUSALS = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C}
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
    """

    problem: str
    error: UserError | None = None
    is_config_error: bool = True

    def is_permanent(self, *, was_connected: bool) -> bool:
        """Return whether trying again cannot help.

        Args:
            was_connected: whether the session has been connected before, with the same settings.
        """
        return self.error is not None and not (self.is_config_error and was_connected)


def of_connecting(error: Exception, options: BrokerOptions) -> Failure:
    """Return why no connection could be made: an exception of the socket, TLS or the WebSocket handshake."""
    host, port = options.host, options.port
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "the clocks here and there" if error.verify_code in _NOT_VALID_NOW else "--ca-file and the host name"
        problem = f"its certificate is not accepted ({error.verify_message}); check {hint}"
        return Failure(problem, UserError(f"broker {options.address}: {problem}"))
    if isinstance(error, socket.gaierror):
        problem = f"the host name '{host}' is not known"
        # Other errors of name resolution are temporary: no network yet, no answer from the name server.
        is_unknown = error.errno == socket.EAI_NONAME
        message = f"broker {options.address}: {problem}; check --broker"
        return Failure(problem, UserError(message) if is_unknown else None)
    if isinstance(error, ConnectionRefusedError):
        return Failure(f"nothing listens at {host}, port {port}")
    if isinstance(error, TimeoutError):
        return Failure(f"no answer from {host}, port {port}")
    if isinstance(error, mqtt.WebsocketConnectionError):
        return Failure(f"no MQTT over WebSockets at {host}, port {port} ({error})")
    return Failure(str(error) or type(error).__name__)


def of_refusal(reason: ReasonCode, options: BrokerOptions) -> Failure:
    """Return why the broker answered CONNECT with a refusal."""
    problem = f"it refused the connection: {reason}"
    if reason.value not in _PERMANENT_REFUSALS:
        return Failure(problem)
    return Failure(problem, UserError(f"broker {options.address}: {problem}; check the account and its rights"))


def of_tls_alert(log_line: str, options: BrokerOptions) -> Failure:
    """Return why the broker ended the connection with a TLS alert, which paho only logs."""
    problem = f"it refused our certificate ({log_line.rpartition('alert ')[2].partition(' (')[0]})"
    return Failure(problem, UserError(f"broker {options.address}: {problem}; check --cert-file and --key-file"))


def of_disconnect(reason: ReasonCode, client_id: str) -> Failure:
    """Return why the broker sent DISCONNECT."""
    if reason.value != _SESSION_TAKEN_OVER:
        return Failure(str(reason))
    message = f"another client took over our id '{client_id}': is it running twice? give one a --name"
    return Failure(str(reason), UserError(message), is_config_error=False)


def of_silence() -> Failure:
    """Return why a server that accepts connections but does not answer CONNECT is given up."""
    return Failure(f"no answer within {CONNECT_TIMEOUT_S:g} s")


def of_close(options: BrokerOptions, *, was_open: bool) -> Failure:
    """Return why the connection was closed without a word from the broker.

    Args:
        options: how the broker was reached.
        was_open: whether it had accepted the connection.
    """
    # The TLS alert can be lost: a broker that closes while we send CONNECT resets the connection.
    if options.uses_tls and not was_open:
        return Failure(
            "connection closed before it answered: it may want a certificate, check --cert-file and --key-file"
        )
    return Failure("connection closed")
