"""A client that tries what a broker can do: it can use every feature of MQTT 5, and hides nothing of what arrives.

Nodes do not use it: it trusts what it receives, and its topics must be such that nobody else publishes to them.
"""

from __future__ import annotations

import contextlib
import queue
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt.client import ThreadedClient

WAIT_S = 5.0
_NOT_AUTHORISED = 0x87
_POLL_S = 0.05


class TrialError(Exception):
    """The broker did not do what was asked of it."""


class NotAllowedError(TrialError):
    """The account may not do this."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as it arrived.

    Attributes:
        topic: where it was published.
        payload: its bytes.
        retain: its retain flag.
        properties: of MQTT 5, by name.
    """

    topic: str
    payload: bytes
    retain: bool
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrialWill:
    """A will.

    Attributes:
        topic: where the broker publishes it.
        payload: its bytes.
        retain: whether the broker keeps it.
        delay_s: will delay interval, in seconds.
    """

    topic: str
    payload: bytes
    retain: bool = False
    delay_s: int = 0


def _properties(kind: int, values: Mapping[str, Any]) -> Properties:
    properties = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


class TrialClient:
    """A connection for a trial.

    Attributes:
        stated: the properties of the broker's CONNACK, by name.
        end: how the broker ended the connection, in a few words; empty while it has not.
    """

    def __init__(
        self,
        options: BrokerOptions,
        tls: ssl.SSLContext | None,
        client_id: str,
        *,
        will: TrialWill | None = None,
        keepalive_s: int = 30,
        connect: Mapping[str, Any] | None = None,
        acknowledges: bool = True,
    ) -> None:
        """Prepare, without connecting.

        Args:
            options: how to reach the broker.
            tls: for a broker that is reached over TLS.
            client_id: unique at the broker.
            will: published by the broker when the connection breaks.
            keepalive_s: MQTT keepalive.
            connect: properties of CONNECT, by name.
            acknowledges: whether messages with QoS 1 are acknowledged.
        """
        self._options, self._keepalive_s = options, keepalive_s
        self._connect = {"SessionExpiryInterval": will.delay_s} if will is not None and will.delay_s else {}
        self._connect |= connect or {}
        self._inbox: queue.Queue[Seen] = queue.Queue()
        self._answered, self._lost = threading.Event(), threading.Event()
        self._subscribed: queue.Queue[list[ReasonCode]] = queue.Queue()
        self._acknowledged: dict[int, ReasonCode] = {}
        self._refusal: ReasonCode | None = None
        self.stated: dict[str, Any] = {}
        self.end = ""
        self._client = client = ThreadedClient.to_broker(options, tls, client_id, manual_ack=not acknowledges)
        client.connect_timeout = WAIT_S
        if will is not None:
            properties = {"MessageExpiryInterval": 60} | ({"WillDelayInterval": will.delay_s} if will.delay_s else {})
            client.will_set(will.topic, will.payload, 1, will.retain, _properties(PacketTypes.WILLMESSAGE, properties))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = lambda _c, _d, _m, codes, _p: self._subscribed.put(codes)
        client.on_publish = lambda _c, _d, mid, code, _p: self._acknowledged.__setitem__(mid, code)

    def open(self) -> None:
        """Connect.

        Raises:
            TrialError: the broker refuses us, or is not there.
        """
        try:
            self._client.connect(
                self._options.host,
                self._options.port,
                self._keepalive_s,
                clean_start=True,
                properties=_properties(PacketTypes.CONNECT, self._connect),
            )
        except (OSError, ValueError) as error:
            raise TrialError(str(error)) from None
        self._client.loop_start()
        if not self._wait(self._answered.is_set):
            raise TrialError("no answer to CONNECT")
        if self._refusal is not None:
            raise TrialError(f"the connection was refused: {self._refusal}")

    def subscribe(self, topic: str, qos: int = 1, **options: Any) -> None:  # noqa: ANN401 (paho's)
        """Subscribe, and wait until the broker has granted it.

        Args:
            topic: the filter.
            qos: the highest of its messages.
            options: `noLocal`, `retainAsPublished` and `retainHandling`.

        Raises:
            TrialError: it has not.
        """
        self._client.subscribe(topic, options=SubscribeOptions(qos=qos, **options))
        if not self._wait(lambda: not self._subscribed.empty()):
            raise TrialError(self.end or "no answer to SUBSCRIBE")
        for code in self._subscribed.get():
            if code.value == _NOT_AUTHORISED:
                raise NotAllowedError("subscribe")
            if code.is_failure:
                raise TrialError(f"the subscription was refused: {code}")

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        wait_s: float = WAIT_S,
        **more: Any,  # noqa: ANN401 (paho's)
    ) -> None:
        """Publish, and wait until the broker has acknowledged it.

        Args:
            topic: where.
            payload: the message's bytes.
            qos: 0 is not acknowledged.
            retain: whether the broker keeps it.
            wait_s: for the acknowledgement; 0 for none, in seconds.
            more: properties, by name.

        Raises:
            TrialError: it has not.
        """
        info = self._client.publish(topic, payload, qos, retain, _properties(PacketTypes.PUBLISH, more))
        if not qos or not wait_s:
            return
        if not self._wait(lambda: info.mid in self._acknowledged, wait_s):
            raise TrialError(self.end or "no acknowledgement")
        code = self._acknowledged.pop(info.mid)
        if code.value == _NOT_AUTHORISED:
            raise NotAllowedError("publish")
        if code.is_failure:
            raise TrialError(f"the message was refused: {code}")

    def next(self, wait_s: float = WAIT_S) -> Seen | None:
        """Return the next message; None if there is none within so many seconds."""
        until = time.monotonic() + wait_s
        while (rest := until - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                return self._inbox.get(timeout=min(_POLL_S, rest))
            if self._lost.is_set() and self._inbox.empty():
                return None
        return None

    def until(self, payload: bytes, wait_s: float = WAIT_S) -> list[Seen]:
        """Return the messages that arrive, up to one with this payload; all there are if it does not come in time."""
        seen: list[Seen] = []
        until = time.monotonic() + wait_s
        while not seen or seen[-1].payload != payload:
            message = self.next(max(0.0, until - time.monotonic()))
            if message is None:
                break
            seen.append(message)
        return seen

    def wait_for_end(self, wait_s: float = WAIT_S) -> str | None:
        """Return how the broker ended the connection; None if it has not within so many seconds."""
        return self.end if self._lost.wait(wait_s) else None

    def hush(self) -> None:
        """Fall silent: the connection stays, but no ping is sent any more."""
        self._client.loop_stop()

    def vanish(self) -> None:
        """Close the connection without DISCONNECT, so that the will is published."""
        sock = self._client.socket()
        self._client.loop_stop()
        if sock is not None:
            sock.close()

    def close(self) -> None:
        """Disconnect, if there is a connection, and end the thread."""
        with contextlib.suppress(Exception):
            self._client.disconnect()
        self._lost.set()
        self._client.loop_stop()

    def _wait(self, condition: Callable[[], bool], wait_s: float = WAIT_S) -> bool:
        until = time.monotonic() + wait_s
        while not condition():
            if time.monotonic() > until or (self._lost.is_set() and not condition()):
                return False
            time.sleep(_POLL_S / 10)
        return True

    def _on_connect(self, _c: object, _d: object, _f: object, code: ReasonCode, properties: object) -> None:
        if code.is_failure:
            self._refusal = code
        elif isinstance(properties, Properties):
            self.stated = _as_dict(properties)
        self._answered.set()

    def _on_disconnect(self, _c: object, _d: object, flags: mqtt.DisconnectFlags, code: ReasonCode, _p: object) -> None:
        by_server = flags.is_disconnect_packet_from_server
        self.end = f"DISCONNECT 0x{code.value:02X}" if by_server else "connection closed"
        self._lost.set()

    def _on_message(self, _c: object, _d: object, message: mqtt.MQTTMessage) -> None:
        properties = _as_dict(message.properties) if message.properties is not None else {}
        self._inbox.put(Seen(message.topic, bytes(message.payload), message.retain, properties))


def _as_dict(properties: Properties) -> dict[str, Any]:
    names = [name.replace(" ", "") for name in properties.names]
    return {name: getattr(properties, name) for name in names if hasattr(properties, name)}
