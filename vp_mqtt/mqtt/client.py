"""paho's client, with what a node needs of it and paho lacks.

No other file relies on paho's insides: on `_thread`, `_thread_terminate`, `_create_socket_connection`,
`_create_socket`, `_sock`, `_sock_recv`, `_easy_log`, `_loop_rc_handle`, `_packet_handle`, `_in_packet`, `_out_packet`,
`_packet_queue`, `_mid_generate`, `_send_puback`, `_ping_t` and `_last_bytes_received`, as they are in paho 2.2, to
which pyproject.toml pins it.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, cast

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.properties import Properties

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt import properties, publish_packet
from vp_mqtt.mqtt.failure import CONNECT_TIMEOUT_S
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.packet_stream import PacketStream
from vp_mqtt.mqtt.patience import PongPatience
from vp_mqtt.mqtt.publish_packet import PublishPacket
from vp_mqtt.mqtt.tcp import TcpSocket

# At a time: some hundred votes. Between two readings is time for what is to be sent, and for the clock.
_READ_BYTES = 32_768
_NO_COMMAND = 0
# A busy broker takes a while to read a DISCONNECT; a dead one never does.
_LEAVE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Packed:
    """Properties, with what paho asks of them."""

    packed: bytes

    def pack(self) -> bytes:
        return self.packed


class ThreadedClient(mqtt.Client):
    """A client whose network thread may end, or be started, while another thread ends it: paho's own then raises."""

    @classmethod
    def to_broker(
        cls, options: BrokerOptions, tls: ssl.SSLContext | None, client_id: str, *, manual_ack: bool = False
    ) -> Self:
        """Return a client that connects as the options say, once, and is not connected yet."""
        client = cls(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=mqtt.MQTTv5,
            transport="websockets" if options.uses_websockets else "tcp",
            reconnect_on_failure=False,
            manual_ack=manual_ack,
        )
        if options.uses_websockets:
            client.ws_set_options(path=options.path)
        if tls is not None:
            client.tls_set_context(tls)
        if options.account is not None or options.password is not None:
            client.username_pw_set(options.account, options.password)
        return client

    def loop_stop(self) -> MQTTErrorCode:
        """Have the network's thread end, and wait for it, unless another thread is just starting it."""
        # Looked at once: the thread itself takes it away when it ends.
        thread = self._thread
        if thread is None:
            return MQTTErrorCode.MQTT_ERR_INVAL
        self._thread_terminate = True
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join()
        return MQTTErrorCode.MQTT_ERR_SUCCESS


class Client(ThreadedClient):
    """A client that reads many packets at once, is patient with slow links, and shows that its thread turns.

    paho reads each packet byte by byte at first. Every call lets another thread have the interpreter, and waits up to
    5 ms to get it back from one that computes: in a flood of messages, that is most of the time.

    Attributes:
        tcp: the socket under the connection, while there is one.
        turned_at: when the network's thread last came round, on the monotonic clock; it does so once a second, and with
            everything that arrives.
        turn: which of the addresses of the broker's name to try first; a name may have several.
        on_packet: called with every message, and when it arrived, on the monotonic clock, in the network's thread.
        on_pause: called after the messages that arrived at the same time.
    """

    tcp: TcpSocket | None = None
    turned_at = math.inf
    turn = 0
    on_packet: Callable[[PublishPacket, float], None]
    on_pause: Callable[[], None]
    _patience: PongPatience | None = None
    _stream: PacketStream
    _is_leaving = False

    def leave(self) -> None:
        """Send DISCONNECT, and let the broker close the connection, so that it reads that and publishes no will."""
        self._is_leaving = True
        self.disconnect()

    def note_socket(self, _client: mqtt.Client, _data: object, sock: mqtt.SocketLike) -> None:
        """Note the socket of a new connection; paho calls it."""
        self.tcp = TcpSocket(sock.fileno())

    def let_socket_go(self, _client: mqtt.Client, _data: object, _sock: mqtt.SocketLike) -> None:
        """Close the TCP socket of a connection that ends, drained if we leave; paho calls it."""
        tcp, self.tcp = self.tcp, None
        if tcp is not None:
            if self._is_leaving:
                tcp.drain(_LEAVE_S)
            tcp.close()

    def loop_misc(self) -> MQTTErrorCode:
        """Send pings, and end a connection whose broker does not answer them; paho's loop calls it in each turn."""
        self.turned_at = now = time.monotonic()
        pinged_at = self._ping_t
        if pinged_at > 0 and self._is_patient():
            # As if the ping had been sent just now.
            self._ping_t = self._last_bytes_received = pinged_at = now
        result = super().loop_misc()
        if self._ping_t not in {0, pinged_at}:
            self._start_patience()
        return result

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002 (paho's interface)
        """Read what has arrived, and handle the packets in it; paho's loop calls it in each turn."""
        try:
            data = self._sock_recv(_READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError as error:
            # The only place that tells of a TLS alert.
            self._easy_log(mqtt.MQTT_LOG_ERR, "failed to receive on socket: %s", error)
            data = b""
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        now = time.monotonic()
        self._last_bytes_received = now
        result = self._handle_packets(data, now)
        self.on_pause()
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return self._loop_rc_handle(result)
        self._acknowledge_at_once()
        return result

    def loop_write(self) -> MQTTErrorCode:
        """Send what is queued; paho's loop calls it when there is something."""
        result = super().loop_write()
        # Whoever sends may put off acknowledgements.
        self._acknowledge_at_once()
        return result

    def publish_packed(
        self, topic: str, properties: bytes, payload: bytes, *, qos: int, retain: bool
    ) -> mqtt.MQTTMessageInfo:
        """Publish with properties as `publish_packet.pack_properties` returns them."""
        return self.publish(topic, payload, qos, retain, properties=cast("Properties", _Packed(properties)))

    def publish_together(self, packets: Sequence[bytes]) -> MQTTErrorCode:
        """Queue PUBLISH packets with QoS 0, to be sent with one system call. Nothing tells when they are sent."""
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        # What paho knows as a PUBLISH is reported to `on_publish`, which costs as much as building a packet.
        return self._packet_queue(_NO_COMMAND, b"".join(packets), self._mid_generate(), 0)

    def _create_socket(self) -> mqtt.SocketLike:
        self._stream = PacketStream()
        return super()._create_socket()

    def _create_socket_connection(self) -> socket.socket:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        # `create_connection` would always begin with the same one, which may be the one that hangs.
        addresses = list(dict.fromkeys(_address(one[4]) for one in found))
        start = self.turn % len(addresses)
        for address in addresses[start:] + addresses[:start]:
            try:
                return socket.create_connection((address, self.port), self.connect_timeout)
            except OSError as error:
                failure = error
        raise failure

    def _acknowledge_at_once(self) -> None:
        if self.tcp is not None:
            self.tcp.acknowledge_at_once()

    def _is_patient(self) -> bool:
        traffic = self.tcp.traffic() if self.tcp is not None else None
        return traffic is not None and self._patience is not None and self._patience.is_justified(traffic)

    def _start_patience(self) -> None:
        traffic = self.tcp.traffic() if self.tcp is not None else None
        queued = sum(packet["to_process"] for packet in tuple(self._out_packet))
        self._patience = PongPatience(traffic, queued) if traffic is not None else None

    def _handle_packets(self, data: bytes, now: float) -> MQTTErrorCode:
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            for command, body in self._stream.add(data):
                if command & 0xF0 == properties.PUBLISH:
                    result = self._handle_message(publish_packet.parse(command, body), now)
                else:
                    properties.reduce(command, body)
                    result = self._handle_other(command, body)
                if result != MQTTErrorCode.MQTT_ERR_SUCCESS or self._sock is None:
                    break
        except (properties.MalformedError, MalformedPacket):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return result

    def _handle_message(self, packet: PublishPacket, now: float) -> MQTTErrorCode:
        if packet.qos > 1:
            # No subscription of ours asks for it.
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self.on_packet(packet, now)
        return self._send_puback(packet.packet_id) if packet.qos else MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_other(self, command: int, body: bytearray) -> MQTTErrorCode:
        """Have paho handle a packet, as if it had read it."""
        self._in_packet = {
            "command": command,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": body,
            "to_process": 0,
            "pos": 0,
        }
        return self._packet_handle()


def new_client(options: BrokerOptions, tls: ssl.SSLContext | None, client_id: str, will: Outgoing | None) -> Client:
    """Return a client that connects as the options say, once, and is not connected yet."""
    client = Client.to_broker(options, tls, client_id)
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.on_socket_open, client.on_socket_close = client.note_socket, client.let_socket_go
    if will is not None:
        client.will_set(will.topic, will.payload, will.qos, will.retain)
    return client


def _address(place: tuple[str | int | bytes, ...]) -> str:
    """Return the address in what `getaddrinfo` has found, with its scope: a link-local one is on a single interface."""
    match place:
        case (address, _, _, int(scope)) if scope:
            return f"{address!s}%{scope}"
    return str(place[0])
