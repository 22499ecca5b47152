"""paho's client, with what a node needs of it and paho lacks.

No other file relies on paho's insides: on `_create_socket`, `_packet_handle`, `_in_packet`, `_out_packet`,
`_send_puback`, `_in_callback_mutex`, `_ping_t` and `_last_bytes_received`, as they are in paho 2.2, to which
pyproject.toml pins it.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections.abc import Callable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt import properties, publish_packet
from vp_mqtt.mqtt.buffered_socket import BufferedSocket
from vp_mqtt.mqtt.failure import CONNECT_TIMEOUT_S
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.patience import PongPatience
from vp_mqtt.mqtt.publish_packet import PublishPacket
from vp_mqtt.mqtt.tcp import TcpSocket

# Between two looks at what is to be sent, and at the clock.
_PACKETS_PER_TURN = 50


class Client(mqtt.Client):
    """A client that reads ahead, unpacks in linear time, is patient with slow links, and shows that its thread turns.

    Attributes:
        tcp: the socket under the connection, while there is one.
        turned_at: when the network's thread last came round, on the monotonic clock; it does so once a second, and with
            every packet.
        on_packet: called with every message, in the network's thread.
    """

    tcp: TcpSocket | None = None
    turned_at = math.inf
    on_packet: Callable[[PublishPacket], None]
    _patience: PongPatience | None = None

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

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle a packet, and more of those that were read with it; paho's loop calls it in each turn."""
        result = super().loop_read(max_packets)
        for _ in range(_PACKETS_PER_TURN):
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or not self.has_read_ahead():
                break
            result = super().loop_read(max_packets)
        return result

    def has_read_ahead(self) -> bool:
        """Return whether bytes of further packets are here already."""
        return isinstance(self._sock, BufferedSocket) and self._sock.pending() > 0

    def _create_socket(self) -> mqtt.SocketLike:
        created = super()._create_socket()
        # Of WebSockets, paho's wrapper reads frame by frame.
        return BufferedSocket(created) if isinstance(created, socket.socket) else created

    def _is_patient(self) -> bool:
        traffic = self.tcp.traffic() if self.tcp is not None else None
        return traffic is not None and self._patience is not None and self._patience.is_justified(traffic)

    def _start_patience(self) -> None:
        traffic = self.tcp.traffic() if self.tcp is not None else None
        queued = sum(packet["to_process"] for packet in tuple(self._out_packet))
        self._patience = PongPatience(traffic, queued) if traffic is not None else None

    def _packet_handle(self) -> MQTTErrorCode:
        command, body = self._in_packet["command"], self._in_packet["packet"]
        try:
            if command & 0xF0 == properties.PUBLISH:
                return self._handle_message(publish_packet.parse(command, body))
            properties.reduce(command, body)
        except properties.MalformedError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._packet_handle()

    def _handle_message(self, packet: PublishPacket) -> MQTTErrorCode:
        if packet.qos > 1:
            # No subscription of ours asks for it.
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        # With the lock, what is published meanwhile is only queued, as in paho's own callbacks.
        with self._in_callback_mutex:
            self.on_packet(packet)
        return self._send_puback(packet.packet_id) if packet.qos else MQTTErrorCode.MQTT_ERR_SUCCESS


def new_client(options: BrokerOptions, tls: ssl.SSLContext | None, client_id: str, will: Outgoing | None) -> Client:
    """Return a client that connects as the options say, once, and is not connected yet."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        protocol=mqtt.MQTTv5,
        transport="websockets" if options.uses_websockets else "tcp",
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    if options.uses_websockets:
        client.ws_set_options(path=options.path)
    if tls is not None:
        client.tls_set_context(tls)
    if options.account is not None or options.password is not None:
        client.username_pw_set(options.account, options.password)
    if will is not None:
        client.will_set(will.topic, will.payload, will.qos, will.retain)
    return client
