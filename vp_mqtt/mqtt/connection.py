"""One connection to the broker, from CONNECT to its end."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt import failure
from vp_mqtt.mqtt.client import new_client
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.failure import CONNECT_TIMEOUT_S, Failure
from vp_mqtt.mqtt.message import Outgoing, Received, Subscription, TopicAliases
from vp_mqtt.mqtt.publish_packet import PublishPacket, encode
from vp_mqtt.mqtt.retries import LASTING_S

_PACKET_TOO_LARGE = 0x95
MAX_REMAINING_LENGTH = 268_435_455
"""Largest packet of MQTT, without its first 2 to 5 bytes."""
_REMEMBERED_REFUSALS = 1000
# Some brokers accept no more topic filters in one SUBSCRIBE.
_MAX_FILTERS = 8
# Of MQTT 5.0, section 3.8.3.1.
_SEND_RETAINED, _NO_RETAINED = 0, 2


def _options(subscription: Subscription) -> SubscribeOptions:
    handling = _SEND_RETAINED if subscription.retained else _NO_RETAINED
    return SubscribeOptions(qos=subscription.qos, retainHandling=handling)


def _missing_feature(connack: object, *, needs_shared: bool) -> int | None:
    """Return what a broker does without that a node needs, as a reason code, by the properties of its CONNACK."""
    features = {
        "RetainAvailable": failure.RETAIN_NOT_SUPPORTED,
        "MaximumQoS": failure.QOS_NOT_SUPPORTED,
        "WildcardSubscriptionAvailable": failure.WILDCARDS_NOT_SUPPORTED,
    }
    if needs_shared:
        features["SharedSubscriptionAvailable"] = failure.SHARED_NOT_SUPPORTED
    return next((code for feature, code in features.items() if not getattr(connack, feature, 1)), None)


def _log_refusals(topics: Iterable[str], reasons: Iterable[ReasonCode]) -> None:
    for topic, reason in zip(topics, reasons, strict=False):
        if reason.is_failure:
            LOGGER.error("the broker refuses our subscription to %s (%s); check the access rules", topic, reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Callbacks:
    """What a connection calls.

    Attributes:
        on_message: with every message.
        on_pause: after the messages that arrived at the same time.
        on_refused: with the topic of a message that is not handed on, and the reason.
        on_open: with the connection, when the broker has accepted it.
        on_lasting: when it has lasted for `LASTING_S`; not in the network's thread.
        on_close: when it has ended; once or more.
    """

    on_message: Callable[[Received], None]
    on_pause: Callable[[], None]
    on_refused: Callable[[str, str], None]
    on_open: Callable[[Connection], None]
    on_lasting: Callable[[], None]
    on_close: Callable[[], None]


class Connection:
    """A paho client that connects once.

    Callbacks run in the network's thread: they must return at once.
    """

    def __init__(
        self,
        options: BrokerOptions,
        *,
        client_id: str,
        will: Outgoing | None,
        max_packet_bytes: int,
        callbacks: Callbacks,
        tls: ssl.SSLContext | None,
        turn: int = 0,
        needs_shared: bool = False,
    ) -> None:
        """Prepare, without connecting.

        Args:
            options: how to reach the broker.
            client_id: unique at the broker.
            will: published by the broker when the connection breaks.
            max_packet_bytes: the broker is told not to send larger packets.
            callbacks: what to call, in the network's thread unless they say otherwise.
            tls: for a broker that is reached over TLS.
            turn: which of the addresses that the broker's name has to try first.
            needs_shared: whether shared subscriptions are needed.
        """
        self._options, self._needs_shared = options, needs_shared
        self._client_id, self._will = client_id, will
        self._max_packet_bytes = max_packet_bytes
        self._callbacks = callbacks
        self._client = client = new_client(options, tls, client_id, will)
        client.turn = turn
        client.on_connect = self._answered
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        client.on_packet = self._received
        client.on_pause = callbacks.on_pause
        if tls is not None:
            client.on_log = self._logged
        self._network: threading.Thread | None = None
        self._failure: Failure | None = None
        self._is_open = False
        self._lost, self._settled = threading.Event(), threading.Event()
        self._subscribing: dict[int, list[str]] = {}
        self._refused: deque[int] = deque(maxlen=_REMEMBERED_REFUSALS)
        self._aliases, self._alias_lock = TopicAliases(), threading.Lock()
        self.max_publish_bytes = MAX_REMAINING_LENGTH

    def is_stuck(self, patience: float) -> bool:
        """Return whether the network's thread has died, or has not come round for so many seconds."""
        if self._network is None:
            return False
        return not self._network.is_alive() or time.monotonic() - self._client.turned_at > patience

    def run(self) -> Failure:
        """Connect, wait until the connection ends, and return why it ended or was not made."""
        options = self._options
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = self._max_packet_bytes
        try:
            self._client.connect(
                options.host, options.port, options.keepalive_s, clean_start=True, properties=properties
            )
        except (OSError, ValueError) as error:
            return failure.of_connecting(error, options)
        self._client.loop_start()
        # A server that accepts the connection but never answers CONNECT is no broker.
        is_silent = not self._settled.wait(CONNECT_TIMEOUT_S)
        if is_silent:
            self._client.disconnect()
        elif not self._lost.wait(LASTING_S):
            self._callbacks.on_lasting()
            self._lost.wait()
        self._client.loop_stop()
        self._callbacks.on_close()
        if is_silent:
            return failure.of_silence()
        return self._failure or failure.of_close(options, was_open=self._is_open)

    def close(self) -> None:
        """Disconnect cleanly, so that no will is published, and let `run` return."""
        if self._is_open:
            self._client.leave()
        self._end()

    def publish(self, message: Outgoing) -> Sent | None:
        """Publish a message; None if there is no connection, or the broker would not accept a packet of this size."""
        if not message.fits(self.max_publish_bytes):
            return None
        # The message that introduces an alias must be sent before those that use it.
        with self._alias_lock:
            topic, alias = self._aliases.assign(message)
            info = self._client.publish_packed(
                topic, message.properties(alias), message.payload, qos=message.qos, retain=message.retain
            )
        return Sent(info, self._lost, self._refused) if info.rc == mqtt.MQTT_ERR_SUCCESS else None

    def publish_together(self, messages: Iterable[Outgoing]) -> int:
        """Publish messages with QoS 0 that are due at the same time; return how many."""
        packets = []
        with self._alias_lock:
            for message in messages:
                if message.fits(self.max_publish_bytes):
                    topic, alias = self._aliases.assign(message)
                    packets.append(encode(topic, message.properties(alias), message.payload, retain=message.retain))
            result = self._client.publish_together(packets) if packets else mqtt.MQTT_ERR_SUCCESS
        return len(packets) if result == mqtt.MQTT_ERR_SUCCESS else 0

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Subscribe to topic filters; one that the broker refuses is logged."""
        for start in range(0, len(subscriptions), _MAX_FILTERS):
            some = subscriptions[start : start + _MAX_FILTERS]
            _, mid = self._client.subscribe([(one.topic, _options(one)) for one in some])
            if mid is not None:
                self._subscribing[mid] = [one.topic for one in some]

    @property
    def is_subscribed(self) -> bool:
        """Whether the broker has answered all subscriptions."""
        return not self._subscribing

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe from a topic filter."""
        self._client.unsubscribe(topic)

    def _end(self) -> None:
        self._lost.set()
        self._settled.set()

    def _logged(self, _client: mqtt.Client, _data: object, level: int, text: str) -> None:
        # With TLS 1.3 a broker refuses a certificate after the handshake; only paho's log says so.
        if level == mqtt.MQTT_LOG_ERR and "alert" in text.lower():
            self._failure = failure.of_tls_alert(text, self._options)

    def _answered(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, properties: object
    ) -> None:
        if reason.is_failure:
            self._failure = failure.of_refusal(reason, self._options)
            return
        if (
            self._will is not None
            and (missing := _missing_feature(properties, needs_shared=self._needs_shared)) is not None
        ):
            # Not all brokers refuse a will that they cannot publish.
            self._failure = failure.of_missing_feature(missing, self._options)
            client.disconnect()
            return
        # Formatting its lines costs time with every packet, and they are not needed any more.
        client.on_log = None
        self.max_publish_bytes = getattr(properties, "MaximumPacketSize", MAX_REMAINING_LENGTH)
        self._aliases = TopicAliases(getattr(properties, "TopicAliasMaximum", 0))
        self._client.turned_at = time.monotonic()
        self._network = threading.current_thread()
        self._is_open = True
        self._settled.set()
        self._callbacks.on_open(self)

    def _disconnected(
        self, _client: mqtt.Client, _data: object, flags: mqtt.DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        self._callbacks.on_close()
        if flags.is_disconnect_packet_from_server:
            self._failure = failure.of_disconnect(reason, self._options, self._client_id)
            if reason.value == _PACKET_TOO_LARGE:
                LOGGER.warning("the broker %s says that a packet of ours was too large", self._options.address)
        else:
            self._failure = self._failure or failure.of_loss(reason, self._options)
        self._end()

    def _subscribed(
        self, _client: mqtt.Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        _log_refusals(self._subscribing.pop(mid, ()), reasons)

    def _published(
        self, _client: mqtt.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            if not self._refused:
                LOGGER.error("the broker refuses a message of ours (%s); check the access rules", reason)
            self._refused.append(mid)

    def _received(self, packet: PublishPacket, now: float) -> None:
        if packet.topic is None:
            return
        if packet.refusal is not None:
            self._callbacks.on_refused(packet.topic, packet.refusal)
            return
        self._callbacks.on_message(Received(packet.topic, packet.payload, packet.correlation, now, packet.retained))
