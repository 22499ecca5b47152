"""Checks of `vp site doctor`: the way from this board to the broker, and what the broker lets it do.

Each returns what was seen, and raises a `WrongError` if that is not as it should be.
"""

from __future__ import annotations

import socket
import ssl
import time
from urllib.parse import urlsplit

from vp_mqtt.config.settings import DEFAULT_PORTS, CommonSettings, VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session
from vp_mqtt.protocol.messages import MessageError, State, StatusMessage
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.site.finding import PATIENCE_S, WrongError

_STRANGER = "doctor"
"""Camera that nobody has: the fusion node refuses one empty vote on it, and counts that."""


def _address(settings: CommonSettings) -> tuple[str, int, bool]:
    url = urlsplit(settings.broker)
    return url.hostname or "", url.port or DEFAULT_PORTS[url.scheme], url.scheme in {"mqtts", "wss"}


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
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
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
    ended: list[UserError] = []
    own = Topics(settings.site).status(settings.node_name())
    session = Session(
        settings.model_copy(update={"give_up_after": PATIENCE_S}),
        client_id=f"vp-{settings.site}-{settings.node_name()}-doctor",
        subscriptions=[(own, 1)],
        on_message=lambda _: None,
        on_end=ended.append,
    )
    session.start()
    try:
        until = time.monotonic() + 2 * PATIENCE_S
        while not session.connected.wait(0.05) and not ended and time.monotonic() < until:
            pass
        if ended or not session.connected.is_set():
            verdict = str(ended[0]) if ended else "no answer to CONNECT"
            raise WrongError(verdict, "provision again; copy this board's folder and the broker's, and install both")
        return _rights(settings, session)
    finally:
        session.stop()


def _rights(settings: CommonSettings, session: Session) -> str:
    names = Topics(settings.site)
    topic = names.stats(settings.node_name())
    if isinstance(settings, VariantSettings):
        topic = names.vote(_STRANGER, settings.variant)
    sent = session.publish(Outgoing(topic, b"", qos=1))
    until = time.monotonic() + PATIENCE_S
    while sent is not None and sent.is_pending and time.monotonic() < until:
        time.sleep(0.01)
    if sent is None or sent.is_pending:
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

    def take(message: Received) -> None:
        try:
            seen.append(StatusMessage.decode(message.payload))
        except MessageError:
            return

    session = Session(
        settings,
        client_id=f"vp-{settings.site}-{settings.node_name()}-doctor",
        subscriptions=[(Topics(settings.site).status(settings.node_name()), 1)],
        on_message=take,
        on_end=lambda _: None,
    )
    session.start()
    until = time.monotonic() + 3.0
    while not seen and time.monotonic() < until:
        time.sleep(0.05)
    session.stop()
    return bool(seen) and seen[-1].state is State.ONLINE
