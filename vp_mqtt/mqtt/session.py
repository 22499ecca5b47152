"""The one place that knows paho: a connection to the broker that mends itself.

Every connection is a new paho client, so that nothing queued for a broker that went away is sent to the one that comes
back: a node's messages are about now. MQTT 5 (OASIS standard, 2019) throughout.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.aliases import Aliases
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.tcp import TcpSocket

CONNECT_TIMEOUT_S = 5.0
BACKOFF_BASE_S = 0.25
BACKOFF_CAP_S = 3.0

_SESSION_TAKEN_OVER = 0x8E
_PACKET_TOO_LARGE = 0x95
# What no waiting mends: protocol version, client id, name or password, authorisation, banned, authentication method.
_FATAL_REFUSALS = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C}
_MAX_REMAINING_LENGTH = 268_435_455
_MAX_REFUSED = 1000
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
_OUT_OF_DATE = {9, 10}
# Some brokers take no more topic filters in one SUBSCRIBE.
_MAX_FILTERS = 8


def backoff(attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Return how long to wait before the next attempt to connect, in s: exponential, capped, with full jitter.

    Args:
        attempt: failed attempts in a row, from 0.
        uniform: draws a float between two.
    """
    return uniform(0.0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(attempt, 16)))


def _ignore(_: object) -> None:
    """Accept anything and do nothing."""


class Session:
    """A connection to the broker, with a will and a birth, that is made again whenever it breaks.

    Callbacks run in the network's thread: they must return at once.
    """

    def __init__(
        self,
        options: BrokerOptions,
        *,
        client_id: str,
        subscriptions: Sequence[tuple[str, int]] = (),
        on_message: Callable[[Received], None] = _ignore,
        on_end: Callable[[UserError], None] = _ignore,
        will: Outgoing | None = None,
        birth: Outgoing | None = None,
        max_packet_bytes: int = 1_000_000,
    ) -> None:
        """Prepare, without connecting.

        Args:
            options: how to reach the broker.
            client_id: unique at the broker.
            subscriptions: topic filters with their QoS, made anew with every connection.
            on_message: called with every message.
            on_end: called once if the session ends with a permanent failure, in a thread of the session.
            will: published by the broker when the connection breaks.
            birth: published after every connection's subscriptions.
            max_packet_bytes: the broker is told not to send us larger packets.

        Raises:
            UserError: a certificate or key file is not usable.
        """
        self._options = options
        self._client_id = client_id
        self._subscriptions = list(subscriptions)
        self._on_message = on_message
        self._on_end = on_end
        self._will = will
        self._birth = birth
        self._max_packet_bytes = max_packet_bytes
        self._tls = self._tls_context() if options.uses_tls else None
        self._client: mqtt.Client | None = None
        self._tcp: TcpSocket | None = None
        self._lost = threading.Event()
        self._stopping = threading.Event()
        self._asked: dict[int, list[str]] = {}
        self._refused: set[int] = set()
        self.failure: UserError | None = None
        self._refusal: str | None = None
        self._thread = threading.Thread(target=self._supervise, name="session", daemon=True)
        self._network: threading.Thread | None = None
        self._aliases = Aliases()
        self._in_order = threading.Lock()
        self._settled = threading.Event()
        self.connected = threading.Event()
        self.connections = 0
        self.max_publish_bytes = _MAX_REMAINING_LENGTH

    @property
    def address(self) -> str:
        """The broker's address, for people."""
        return self._options.address

    @property
    def is_sound(self) -> bool:
        """Whether there is somebody who keeps the connection, or gets it back."""
        network = self._network
        return self._thread.is_alive() and (not self.connected.is_set() or network is None or network.is_alive())

    def start(self) -> None:
        """Connect, and stay connected, in the background."""
        self._thread.start()

    def stop(self, last: Outgoing | None = None, timeout: float = 1.0) -> None:
        """Publish a last message, disconnect cleanly (no will), and end; at most `timeout` seconds."""
        client = self._client
        until = time.monotonic() + timeout
        if client is not None and self.connected.is_set():
            if last is not None:
                sent = self.publish(last)
                if sent is not None:
                    sent.wait(timeout)
            self._stopping.set()
            client.disconnect()
        self._stopping.set()
        self._lost.set()
        self._settled.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(max(0.05, until - time.monotonic()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raise the error that ended the session, if one has.

        Raises:
            UserError: the session has ended with a permanent failure.
        """
        if self.failure is not None:
            raise self.failure

    def wait_until_connected(self, timeout: float | None = None) -> bool:
        """Wait for the first connection, or for the session's end.

        Args:
            timeout: in seconds; None for as long as the session keeps trying.

        Returns:
            Whether the session has connected.

        Raises:
            UserError: the session has ended with a permanent failure.
        """
        self._settled.wait(timeout)
        self.check()
        return self.connections > 0

    def set_birth(self, birth: Outgoing) -> None:
        """Publish another birth from now on, and at once if there is a connection."""
        self._birth = birth
        self.publish(birth)

    def subscribe(self, topics: Sequence[str], qos: int = 0) -> None:
        """Subscribe to further topic filters, or again to those that were unsubscribed; from any thread."""
        known = {topic for topic, _ in self._subscriptions}
        self._subscriptions += [(topic, qos) for topic in topics if topic not in known]
        client = self._client
        if client is not None and self.connected.is_set():
            self._ask(client, [(topic, qos) for topic in topics])

    def unsubscribe(self, topic: str) -> None:
        """Have the broker send no more of a topic filter until `subscribe`, or until the next connection."""
        client = self._client
        if client is not None and self.connected.is_set():
            client.unsubscribe(topic)

    def _ask(self, client: mqtt.Client, subscriptions: Sequence[tuple[str, int]]) -> None:
        for start in range(0, len(subscriptions), _MAX_FILTERS):
            some = subscriptions[start : start + _MAX_FILTERS]
            _, mid = client.subscribe([(topic, SubscribeOptions(qos=qos)) for topic, qos in some])
            if mid is not None:
                self._asked[mid] = [topic for topic, _ in some]

    def publish(self, message: Outgoing) -> Sent | None:
        """Publish a message; None if there is no connection, or the broker would not take a packet of this size."""
        client = self._client
        if client is None or not self.connected.is_set() or not message.fits(self.max_publish_bytes):
            return None
        lost = self._lost
        # The message that tells an alias must be sent before those that use it.
        with self._in_order:
            topic, alias = self._aliases.of(message)
            properties = message.properties(alias)
            info = client.publish(topic, message.payload, message.qos, message.retain, properties=properties)
        return Sent(info, lost, self._refused) if info.rc == mqtt.MQTT_ERR_SUCCESS else None

    def _tls_context(self) -> ssl.SSLContext:
        options = self._options
        try:
            context = ssl.create_default_context(cafile=options.ca_file)
        except (ssl.SSLError, OSError) as error:
            raise UserError(f"--ca-file {options.ca_file}: not a certificate in PEM ({error})") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if options.cert_file is not None:
            try:
                context.load_cert_chain(options.cert_file, options.key_file)
            except (ssl.SSLError, OSError) as error:
                raise UserError(
                    f"--cert-file {options.cert_file} and --key-file {options.key_file}: not a pair ({error})"
                ) from None
        return context

    def _new_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            protocol=mqtt.MQTTv5,
            transport="websockets" if self._options.uses_websockets else "tcp",
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._options.uses_websockets:
            client.ws_set_options(path=self._options.path)
        if self._tls is not None:
            client.tls_set_context(self._tls)
            client.on_log = self._logged
        username, password = self._options.account, self._options.password
        if username is not None or password is not None:
            client.username_pw_set(username, password)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        client.on_socket_open = self._socket_opened
        client.on_socket_close = self._socket_closed
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        return client

    def _socket_opened(self, _client: mqtt.Client, _data: object, sock: mqtt.SocketLike) -> None:
        self._tcp = TcpSocket(sock.fileno())

    def _socket_closed(self, _client: mqtt.Client, _data: object, _sock: mqtt.SocketLike) -> None:
        tcp, self._tcp = self._tcp, None
        if tcp is not None:
            tcp.close()

    def _logged(self, _client: mqtt.Client, _data: object, level: int, text: str) -> None:
        # With TLS 1.3 a broker refuses a certificate after the handshake; only paho's log says so.
        if level == mqtt.MQTT_LOG_ERR and "alert" in text.lower() and not self.connections:
            self._refusal = f"it refused our certificate ({text.rpartition('alert ')[2].partition(' (')[0]})"
            self.failure = UserError(f"broker {self.address}: {self._refusal}; check --cert-file and --key-file")

    def _supervise(self) -> None:
        """Make connections, one after the other, until told to stop."""
        attempt = 0
        started = time.monotonic()
        while not self._stopping.is_set():
            connections = self.connections
            problem = self._connect_once()
            if self._stopping.is_set():
                return
            if self.connections > connections:
                attempt = 0
                LOGGER.warning("lost the broker %s (%s); trying to get it back", self.address, problem)
            elif self.failure is None:
                if attempt == 0 and not connections:
                    LOGGER.warning("broker %s: %s; trying until it is there", self.address, problem)
                patience = self._options.give_up_after_s
                if patience and not connections and time.monotonic() - started >= patience:
                    self.failure = UserError(
                        f"broker {self.address}: {problem}; is the address right, and is it running?"
                    )
            if self.failure is not None:
                self._settled.set()
                self._on_end(self.failure)
                return
            self._stopping.wait(backoff(attempt))
            attempt += 1

    def _connect_once(self) -> str:
        """Make one connection and wait for its end; return why it ended or did not come about."""
        lost = self._lost = threading.Event()
        self._refused = set()
        self._refusal = None
        client = self._new_client()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = self._max_packet_bytes
        host, port = self._options.host, self._options.port
        try:
            client.connect(host, port, self._options.keepalive_s, clean_start=True, properties=properties)
        except (OSError, ValueError) as error:
            return self._describe(error, host, port)
        except mqtt.WebsocketConnectionError as error:
            return f"no MQTT over WebSockets there ({error})"
        self._client = client
        client.loop_start()
        # A broker that accepts the connection but never answers CONNECT is no broker.
        if not self._answered(lost):
            client.disconnect()
            problem = f"no answer within {CONNECT_TIMEOUT_S:g} s"
        else:
            lost.wait()
            problem = self._refusal or "connection closed"
            # The alert that says so can be lost: a broker that closes while we send CONNECT resets the connection.
            if self._tls is not None and self._refusal is None and not self.connections:
                problem += " before it answered: it may want a certificate, check --cert-file and --key-file"
        self.connected.clear()
        client.loop_stop()
        self._client = None
        return problem

    def _answered(self, lost: threading.Event) -> bool:
        until = time.monotonic() + CONNECT_TIMEOUT_S
        while not lost.is_set() and time.monotonic() < until:
            if self.connected.wait(0.05):
                return True
        return lost.is_set()

    def _describe(self, error: Exception, host: str, port: int) -> str:
        never_connected = not self.connections
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "the clocks here and there" if error.verify_code in _OUT_OF_DATE else "--ca-file and the host name"
            problem = f"its certificate is not accepted ({error.verify_message}); check {hint}"
            if never_connected:
                self.failure = UserError(f"broker {self.address}: {problem}")
            return problem
        if isinstance(error, socket.gaierror):
            problem = f"the host name '{host}' is not known"
            if never_connected and error.errno == socket.EAI_NONAME:
                self.failure = UserError(f"broker {self.address}: {problem}; check --broker")
            return problem
        if isinstance(error, ConnectionRefusedError):
            return f"nothing listens at {host}, port {port}"
        if isinstance(error, TimeoutError):
            return f"no answer from {host}, port {port}"
        return str(error) or type(error).__name__

    def _connected(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, properties: object
    ) -> None:
        if reason.is_failure:
            self._refusal = f"it refused the connection: {reason}"
            if reason.value in _FATAL_REFUSALS and not self.connections:
                self.failure = UserError(f"broker {self.address}: {self._refusal}; check the account and its rights")
            return
        # Its texts cost time with every packet, and are not needed any more.
        client.on_log = None
        self.max_publish_bytes = getattr(properties, "MaximumPacketSize", _MAX_REMAINING_LENGTH)
        self._aliases = Aliases(getattr(properties, "TopicAliasMaximum", 0))
        self._asked.clear()
        self._ask(client, self._subscriptions)
        self.connections += 1
        self._network = threading.current_thread()
        if self._stopping.is_set():
            return
        self.connected.set()
        self._settled.set()
        if self._birth is not None:
            self.publish(self._birth)
        LOGGER.info("connected to the broker %s", self.address)

    def _disconnected(
        self, _client: mqtt.Client, _data: object, flags: mqtt.DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        self.connected.clear()
        if flags.is_disconnect_packet_from_server:
            self._refusal = str(reason)
            if reason.value == _SESSION_TAKEN_OVER:
                self.failure = UserError(
                    f"another client took over our id '{self._client_id}': is it running twice? give one a --name"
                )
            elif reason.value == _PACKET_TOO_LARGE:
                LOGGER.warning("the broker %s says that a packet of ours was too large", self.address)
        self._lost.set()

    def _subscribed(
        self, _client: mqtt.Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        for topic, reason in zip(self._asked.pop(mid, ()), reasons, strict=False):
            if reason.is_failure:
                LOGGER.error("the broker refuses our subscription to %s (%s); check the access rules", topic, reason)

    def _published(
        self, _client: mqtt.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            if not self._refused:
                LOGGER.error("the broker refuses a message of ours (%s); check the access rules", reason)
            if len(self._refused) < _MAX_REFUSED:
                self._refused.add(mid)
        self._acknowledge_at_once()

    def _acknowledge_at_once(self) -> None:
        if self._tcp is not None:
            self._tcp.acknowledge_at_once()

    def _received(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        self._acknowledge_at_once()
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self._on_message(Received(topic, bytes(message.payload), correlation, time.monotonic()))


@contextmanager
def connected(
    options: BrokerOptions,
    *,
    client_id: str,
    subscriptions: Sequence[tuple[str, int]] = (),
    on_message: Callable[[Received], None] = _ignore,
    on_end: Callable[[UserError], None] = _ignore,
    max_packet_bytes: int = 1_000_000,
    timeout_s: float | None = None,
) -> Iterator[Session]:
    """Provide a session that has connected, and stop it at the end.

    Args:
        options: how to reach the broker.
        client_id: unique at the broker.
        subscriptions: topic filters with their QoS, made anew with every connection.
        on_message: called with every message, in the network's thread.
        on_end: called once if the session ends with a permanent failure, in a thread of the session.
        max_packet_bytes: the broker is told not to send larger packets.
        timeout_s: to wait for the connection, in seconds; None for as long as `options.give_up_after_s` allows.

    Raises:
        UserError: a certificate or key file is not usable, the broker refuses us, or it is not there in time.
    """
    session = Session(
        options,
        client_id=client_id,
        subscriptions=subscriptions,
        on_message=on_message,
        on_end=on_end,
        max_packet_bytes=max_packet_bytes,
    )
    with session:
        if not session.wait_until_connected(timeout_s):
            raise UserError(f"broker {options.address}: no connection within {timeout_s:g} s; is it overloaded?")
        yield session
