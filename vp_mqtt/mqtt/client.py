"""paho's client, with what a node needs of it and paho lacks.

No other file relies on paho's insides: on `_packet_handle`, `_in_packet`, `_out_packet`, `_ping_t` and
`_last_bytes_received`, as they are in paho 2.2, to which pyproject.toml pins it.
"""

from __future__ import annotations

import math
import ssl
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt import properties
from vp_mqtt.mqtt.failure import CONNECT_TIMEOUT_S
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.patience import PongPatience
from vp_mqtt.mqtt.tcp import TcpSocket


class Client(mqtt.Client):
    """A client that unpacks in linear time, gives slow links the time they need, and shows that its thread turns.

    Attributes:
        tcp: the socket under the connection, while there is one.
        turned_at: when the network's thread last came round, on the monotonic clock; it does so once a second, and with
            every packet.
        refusal: why the message that is being handled is to be refused; None if it is fine.
    """

    tcp: TcpSocket | None = None
    turned_at = math.inf
    refusal: str | None = None
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

    def _is_patient(self) -> bool:
        traffic = self.tcp.traffic() if self.tcp is not None else None
        return traffic is not None and self._patience is not None and self._patience.is_justified(traffic)

    def _start_patience(self) -> None:
        traffic = self.tcp.traffic() if self.tcp is not None else None
        queued = sum(packet["to_process"] for packet in tuple(self._out_packet))
        self._patience = PongPatience(traffic, queued) if traffic is not None else None

    def _packet_handle(self) -> MQTTErrorCode:
        try:
            self.refusal = properties.reduce(self._in_packet["command"], self._in_packet["packet"])
        except properties.MalformedError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._packet_handle()


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
