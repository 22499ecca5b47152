"""Checks of `vp site doctor`: the way from this board to the broker, and what the broker lets it do.

Each returns what was seen, and raises a `WrongError` if that is not as it should be.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import replace

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.config.settings import CommonSettings, VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session, connected
from vp_mqtt.mqtt.tls import client_context
from vp_mqtt.protocol.messages import MessageError, State, StatusMessage
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.site.finding import PATIENCE_S, WrongError

_STRANGER = "doctor"
"""Camera that nobody has: the fusion node refuses one empty vote on it, and counts that."""


_STATUS_WITHIN_S = 3.0


def _address(settings: CommonSettings) -> tuple[str, int, bool]:
    options = BrokerOptions(url=settings.broker)
    return options.host, options.port, options.uses_tls


def host_name(settings: CommonSettings) -> str:
    """Look the broker's name up."""
    host, port, _ = _address(settings)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise WrongError(
            f"'{host}' is not known ({error.strerror})",
            "check the network and its DNS, or write the IP address in site.toml",
        ) from None
    addresses = {str(one[4][0]) for one in found}
    return f"'{host}' is {', '.join(sorted(addresses))}"


def port(settings: CommonSettings) -> str:
    """Knock at the broker's port."""
    host, port, _ = _address(settings)
    try:
        socket.create_connection((host, port), timeout=PATIENCE_S).close()
    except ConnectionRefusedError:
        remedy = "start Mosquitto there: systemctl status mosquitto"
        raise WrongError(f"nothing listens at {host}, port {port}", remedy) from None
    except TimeoutError:
        remedy = "is the broker on, and does a firewall let us through?"
        raise WrongError(f"no answer from {host}, port {port}", remedy) from None
    except OSError as error:
        remedy = "check this board's network: ip addr, ip route"
        raise WrongError(f"{host}, port {port}: {error.strerror}", remedy) from None
    return f"{host}, port {port} answers"


def tls(settings: CommonSettings) -> str:
    """Shake hands with the broker, with our certificate."""
    host, port, is_tls = _address(settings)
    if not is_tls:
        return f"not used: {settings.broker}"
    try:
        context = client_context(settings.broker_options())
    except UserError as error:
        raise WrongError(f"our certificate files: {error}", "provision again, and copy this board's folder") from None
    try:
        with (
            socket.create_connection((host, port), timeout=PATIENCE_S) as link,
            context.wrap_socket(link, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert() or {}
            return f"{secured.version()}, the broker's certificate is valid until {certificate.get('notAfter')}"
    except ssl.SSLCertVerificationError as error:
        remedy = "is ca.crt the site's, and does the certificate name this host? provision again, copy both folders"
        if "expired" in error.verify_message or "not yet valid" in error.verify_message:
            now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
            remedy = f"here it is {now}: if that is wrong, set the clock (timedatectl); else provision again"
        raise WrongError(f"the broker's certificate: {error.verify_message}", remedy) from None
    except OSError as error:
        raise WrongError(f"no TLS at {host}, port {port} ({error})", "is it the TLS listener's port?") from None


def account(settings: CommonSettings) -> str:
    """Connect beside the node, read its status, and publish what nobody takes."""
    try:
        with connected(
            replace(settings.broker_options(), give_up_after_s=PATIENCE_S),
            client_id=_client_id(settings),
            subscriptions=[(Topics(settings.site).status(settings.node_name()), 1)],
            timeout_s=2 * PATIENCE_S,
        ) as session:
            return _rights(settings, session)
    except UserError as error:
        remedy = "provision again; copy this board's folder and the broker's, and install both"
        raise WrongError(str(error), remedy) from None


def _client_id(settings: CommonSettings) -> str:
    return f"vp-{settings.site}-{settings.node_name()}-doctor"


def _rights(settings: CommonSettings, session: Session) -> str:
    names = Topics(settings.site)
    topic = names.stats(settings.node_name())
    if isinstance(settings, VariantSettings):
        topic = names.vote(_STRANGER, settings.variant)
    sent = session.publish(Outgoing(topic, b"", qos=1))
    if sent is None or not sent.wait(PATIENCE_S):
        raise WrongError("no acknowledgement from the broker", "is it overloaded? see its log")
    if sent.is_refused:
        raise WrongError(
            f"'{settings.username or 'nobody'}' may not publish to {topic}",
            "copy the broker's folder anew and install it: its access rules are older than this board",
        )
    return f"'{settings.username or 'anonymous'}' is let in, and may publish to {topic}"


def is_online(settings: CommonSettings) -> bool:
    """Ask the broker whether the node itself is running."""
    seen: list[StatusMessage] = []
    arrived = threading.Event()

    def take(message: Received) -> None:
        try:
            seen.append(StatusMessage.decode(message.payload))
        except MessageError:
            return
        arrived.set()

    with Session(
        settings.broker_options(),
        client_id=_client_id(settings),
        subscriptions=[(Topics(settings.site).status(settings.node_name()), 1)],
        on_message=take,
    ):
        arrived.wait(_STATUS_WITHIN_S)
    return bool(seen) and seen[-1].state is State.ONLINE
