"""MQTT clients and brokers of the comparison."""

from __future__ import annotations

import contextlib
import queue
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from vp_mqtt.local.ports import HOST

WAIT_S = 5.0
QUIET_S = 0.7
ACCEPTED = 0


def set_nodelay(link: Any) -> None:  # noqa: ANN401 (a socket, which paho types as less)
    """Send small packets at once."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Client:
    """A paho client that keeps the messages that it receives in a queue."""

    def __init__(self, port: int, *, v5: bool, tcp: str = "nodelay", ws: bool = False, **options: Any) -> None:  # noqa: ANN401
        self.inbox: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.gone: queue.Queue[str] = queue.Queue()
        self._codes: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._subscribed: queue.Queue[Any] = queue.Queue()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.get("name", ""),
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            transport="websockets" if ws else "tcp",
            reconnect_on_failure=False,
        )
        self.client.connect_timeout = WAIT_S
        self._quick = tcp == "nodelay, quickack"
        if tcp != "plain" and not ws:
            self.client.on_socket_open = lambda _c, _d, link: set_nodelay(link)
        self.client.on_connect = lambda _c, _d, _f, code, properties: self._codes.put((code, properties))
        self.client.on_disconnect = lambda _c, _d, flags, code, _p: self.gone.put(
            f"DISCONNECT 0x{code.value:02X}"
            if flags.is_disconnect_packet_from_server
            else "closed without a DISCONNECT"
        )
        self.client.on_subscribe = lambda _c, _d, _m, codes, _p: self._subscribed.put(codes)
        self.client.on_message = lambda _c, _d, message: self.inbox.put(message)
        self.client.on_publish = lambda *_: self.acknowledge_quickly()
        if "will" in options:
            self.client.will_set(*options["will"])
        self.client.connect(HOST, port, options.get("keepalive", 60), properties=options.get("properties"))
        self.client.loop_start()
        code, self.properties = self._codes.get(timeout=WAIT_S)
        if code.value != ACCEPTED:
            raise ConnectionError(f"refused: {code}")

    def listen(self, topic: str, qos: int = 0) -> None:
        """Subscribe and wait for the broker to grant it."""
        self.client.subscribe(topic, qos)
        if any(code.is_failure for code in self._subscribed.get(timeout=WAIT_S)):
            raise ConnectionError(f"subscription to {topic} refused")

    def send(self, topic: str, payload: bytes, qos: int = 0, *, retain: bool = False, **properties: Any) -> None:  # noqa: ANN401
        """Publish and wait until that has left, or been acknowledged at QoS 1; `properties` by their MQTT 5 names."""
        extra = Properties(PacketTypes.PUBLISH) if properties else None  # type: ignore[no-untyped-call]
        for name, value in properties.items():
            setattr(extra, name, value)
        self.client.publish(topic, payload, qos, retain, extra).wait_for_publish(WAIT_S)

    def acknowledge_quickly(self, work: Callable[[], object] | None = None) -> None:
        """Set TCP_QUICKACK again, which the kernel resets soon, if so configured, and then do `work`."""
        link = self.client.socket()
        if self._quick and isinstance(link, socket.socket):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if work is not None:
            work()

    def next(self, timeout: float = WAIT_S) -> mqtt.MQTTMessage:
        """Return the next message; queue.Empty after `timeout` seconds."""
        return self.inbox.get(timeout=timeout)

    def drain(self, quiet_s: float = QUIET_S) -> list[mqtt.MQTTMessage]:
        """Return what arrives until nothing does for `quiet_s` seconds."""
        messages = []
        with contextlib.suppress(queue.Empty):
            while True:
                messages.append(self.inbox.get(timeout=quiet_s))
        return messages

    def vanish(self) -> None:
        """Close the connection without a DISCONNECT."""
        self.client.loop_stop()
        link = self.client.socket()
        if link is not None:
            link.close()

    def close(self) -> None:
        """Disconnect, if still connected, and end the thread."""
        with contextlib.suppress(Exception):
            self.client.disconnect()
        self.client.loop_stop()


@dataclass
class Broker:
    """A broker to compare.

    Attributes:
        name: name for people.
        version: its version.
        write: writes its configuration into a folder, for a port and a WebSockets port, and returns its command.
        v5: whether it speaks MQTT 5.
    """

    name: str
    version: str
    write: Callable[[Path, int, int], list[str]]
    v5: bool = True


@dataclass
class RunningBroker:
    """A running broker and the clients of one check.

    Attributes:
        broker: the broker.
        port: its port on this machine.
        ws_port: its WebSockets port.
        pid: its process id.
        started_ms: how long it took to start, in ms.
        clients: clients to close with it.
    """

    broker: Broker
    port: int = 0
    ws_port: int = 0
    pid: int = 0
    started_ms: float = 0
    clients: list[Client] = field(default_factory=list)

    @property
    def v5(self) -> bool:
        """Whether the broker speaks MQTT 5."""
        return self.broker.v5

    def connect(self, **options: Any) -> Client:  # noqa: ANN401
        """Connect a client, which is closed with the broker."""
        self.clients.append(Client(self.ws_port if options.get("ws") else self.port, **{"v5": self.v5, **options}))
        return self.clients[-1]
