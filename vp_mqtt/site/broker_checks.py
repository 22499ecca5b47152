"""Checks of the way to the broker, and of what the broker allows this board.

Each returns what was seen, and raises a `CheckError` if something is wrong.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.config.settings import CommonSettings
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session, connected
from vp_mqtt.mqtt.tls import client_context
from vp_mqtt.protocol.messages import MessageError, State, StatusMessage
from vp_mqtt.protocol.presence import NodePresence, silent_after_s
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.site.finding import PATIENCE_S, CheckError

_STATUS_WITHIN_S = 3.0


def of_any(options: BrokerOptions, check: Callable[[BrokerOptions], str]) -> str:
    """Check each broker of a cluster, one of which is enough; what is wrong with the others is told as well."""
    verdicts, errors = [], []
    for one in options.each():
        try:
            verdicts.append(check(one))
        except CheckError as error:
            errors.append(error)
    if not verdicts:
        raise errors[0]
    return "; ".join([*verdicts, *(f"but {error.verdict}" for error in errors)])


def host_name(host: str, port: int) -> str:
    """Look up the broker's host name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise CheckError(
            f"'{host}' is not known ({error.strerror})",
            "check the network and its DNS, or write the IP address in site.toml",
        ) from None
    addresses = {str(one[4][0]) for one in found}
    return f"'{host}' is {', '.join(sorted(addresses))}"


def port(host: str, port: int, *, timeout: float = PATIENCE_S) -> str:
    """Connect to the broker's TCP port, waiting at most `timeout` seconds."""
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except ConnectionRefusedError:
        remedy = "is Mosquitto running there? systemctl status mosquitto"
        raise CheckError(f"nothing listens at {host}, port {port}", remedy) from None
    except TimeoutError:
        remedy = "is the broker's machine on, and does a firewall block the port?"
        raise CheckError(f"no answer from {host}, port {port}", remedy) from None
    except OSError as error:
        remedy = "check this machine's network: ip addr, ip route"
        raise CheckError(f"{host}, port {port}: {error.strerror}", remedy) from None
    return f"{host}, port {port} answers"


def tls(options: BrokerOptions) -> str:
    """Complete a TLS handshake with the broker, with our certificate."""
    host, port = options.host, options.port
    if not options.uses_tls:
        return f"not used: {options.address}"
    try:
        context = client_context(options)
    except UserError as error:
        raise CheckError(f"our certificate files: {error}", "provision again, and copy this board's folder") from None
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
            remedy = f"this machine's clock says {now}: if that is wrong, set it (timedatectl), else provision again"
        raise CheckError(f"the broker's certificate: {error.verify_message}", remedy) from None
    except OSError as error:
        raise CheckError(f"no TLS at {host}, port {port} ({error})", "is it the TLS listener's port?") from None


def account(settings: CommonSettings) -> str:
    """Connect beside the node, and publish a message that has no effect."""
    try:
        with connected(
            replace(settings.broker_options(), give_up_after_s=PATIENCE_S),
            client_id=_client_id(settings),
            subscriptions=[(Topics(settings.site).status(settings.node_name()), 1)],
            timeout_s=2 * PATIENCE_S,
        ) as session:
            return _may_publish(settings, session)
    except UserError as error:
        remedy = "provision again; copy this board's folder and the broker's, and install both"
        raise CheckError(str(error), remedy) from None


def _client_id(settings: CommonSettings) -> str:
    return f"vp-{settings.site}-{settings.node_name()}-doctor"


def _may_publish(settings: CommonSettings, session: Session) -> str:
    names = Topics(settings.site)
    topic = names.stats(settings.node_name())
    sent = session.publish(Outgoing(topic, b"", qos=1))
    if sent is None or not sent.wait(PATIENCE_S):
        raise CheckError("no acknowledgement from the broker", "is it overloaded? see its log")
    if sent.is_refused:
        raise CheckError(
            f"'{settings.username or 'anonymous'}' may not publish to {topic}",
            "copy the broker's folder again and install it: its access rules are older than this board",
        )
    return f"'{settings.username or 'anonymous'}' is accepted, and may publish to {topic}"


def is_online(settings: CommonSettings) -> bool:
    """Return whether the node itself is running: whether it is online and heard."""
    with _NodeListener(settings) as node:
        found = node.wait_for(lambda _: True, _STATUS_WITHIN_S)
        if found is None or found.status.state is not State.ONLINE:
            return False
        node.wait_for(lambda presence: presence.is_heard(time.monotonic()), silent_after_s(found.status))
        return found.is_heard(time.monotonic())


def status(settings: CommonSettings) -> str:
    """Check that the node itself is online, and heard: that its status is not one that a dead node left behind."""
    remedy = "start the node, or see its log for why it is not there"
    with _NodeListener(settings) as node:
        found = node.wait_for(lambda _: True, _STATUS_WITHIN_S)
        if found is None:
            raise CheckError("it has no status at the broker: it has never been connected", remedy)
        if found.status.state is State.ONLINE:
            seconds = silent_after_s(found.status)
            node.wait_for(lambda presence: presence.is_heard(time.monotonic()), seconds)
    if found.status.state is not State.ONLINE:
        raise CheckError(f"its status is '{found.status.state}'", remedy)
    if not found.is_heard(time.monotonic()):
        raise CheckError(
            f"its status says online, but nothing was heard of it for {seconds:g} s: it is dead or cut off", remedy
        )
    if found.status.problem is not None:
        raise CheckError(f"online, but says: {found.status.problem}", "see its log")
    return f"online and heard, on {found.status.host}, version {found.status.version}"


class _NodeListener:
    """Listens to the status and the stats of a node, with the node's own account."""

    def __init__(self, settings: CommonSettings) -> None:
        self._change = threading.Condition()
        self._presence: NodePresence | None = None
        topics = Topics(settings.site)
        self._status = topics.status(settings.node_name())
        self._session = Session(
            settings.broker_options(),
            client_id=_client_id(settings),
            subscriptions=[(self._status, 1), (topics.stats(settings.node_name()), 0)],
            on_message=self._receive,
        )

    def __enter__(self) -> Self:
        self._session.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._session.stop()

    def _receive(self, message: Received) -> None:
        with self._change:
            if message.topic == self._status:
                try:
                    status = StatusMessage.decode(message.payload)
                except MessageError:
                    return
                if self._presence is None:
                    self._presence = NodePresence(status, retained=message.retained, now=message.at)
                else:
                    self._presence.note_status(status, retained=message.retained, now=message.at)
            # `account` publishes an empty one.
            elif self._presence is not None and message.payload and not message.retained:
                self._presence.note_heard(message.at)
            self._change.notify_all()

    def wait_for(self, condition: Callable[[NodePresence], bool], seconds: float) -> NodePresence | None:
        """Wait until the node's presence is known and meets a condition, and return it as it is then."""
        with self._change:
            self._change.wait_for(lambda: self._presence is not None and condition(self._presence), seconds)
            return self._presence
