"""Slow links: bytes on their way are a sign of life, those behind a ping are not."""

from __future__ import annotations

import socket
import threading
import time

from tests.support.scripted_broker import CONNACK, PINGREQ, PINGRESP, PUBACK, WAIT, packet
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.patience import PongPatience, Traffic
from vp_mqtt.mqtt.session import connected

_KEEPALIVE_S = 1
_BYTES_PER_S = 200_000


def test_bytes_ahead_of_the_ping_are_waited_for() -> None:
    patience = PongPatience(Traffic(acknowledged=100, received=7, waiting=50), queued=20)
    assert patience.is_justified(Traffic(acknowledged=101, received=7, waiting=69))
    assert not patience.is_justified(Traffic(acknowledged=101, received=7, waiting=69))
    assert patience.is_justified(Traffic(acknowledged=169, received=7, waiting=500))
    assert patience.is_justified(Traffic(acknowledged=300, received=7, waiting=500))
    # The ping has arrived: its answer is due, however much else is sent.
    assert not patience.is_justified(Traffic(acknowledged=400, received=7, waiting=500))


def test_bytes_ahead_of_the_answer_are_waited_for() -> None:
    patience = PongPatience(Traffic(acknowledged=100, received=7, waiting=0), queued=2)
    assert patience.is_justified(Traffic(acknowledged=102, received=1000, waiting=0))
    assert patience.is_justified(Traffic(acknowledged=102, received=2000, waiting=0))
    assert not patience.is_justified(Traffic(acknowledged=102, received=2000, waiting=0))


def _serve_slowly(server: socket.socket) -> None:
    """Be a broker at the far end of a slow link."""
    link, _ = server.accept()
    link.recv(1000)
    link.sendall(packet(CONNACK, b"\0\0\0"))
    received = b""
    while chunk := link.recv(_BYTES_PER_S // 20):
        received += chunk
        time.sleep(len(chunk) / _BYTES_PER_S)
        if received.endswith(packet(PINGREQ, b"")):
            link.sendall(packet(PUBACK, b"\0\x01") + packet(PINGRESP, b""))


def test_a_message_that_takes_longer_than_the_keepalive_passes() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        server.bind(("127.0.0.1", 0))
        server.listen()
        threading.Thread(target=_serve_slowly, args=(server,), daemon=True).start()
        options = BrokerOptions(url=f"mqtt://127.0.0.1:{server.getsockname()[1]}", keepalive_s=_KEEPALIVE_S)
        with connected(options, client_id="me") as session:
            sent = session.publish(Outgoing("t", bytes(3 * _KEEPALIVE_S * _BYTES_PER_S), qos=1))
            assert sent is not None
            assert sent.wait(WAIT)
            assert session.connections == 1


def test_a_broker_that_hangs_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang() -> None:
            link, _ = server.accept()
            link.recv(1000)
            link.sendall(packet(CONNACK, b"\0\0\0"))
            time.sleep(WAIT)

        threading.Thread(target=hang, daemon=True).start()
        options = BrokerOptions(url=f"mqtt://127.0.0.1:{server.getsockname()[1]}", keepalive_s=_KEEPALIVE_S)
        with connected(options, client_id="me") as session:
            started = time.monotonic()
            while session.connected.is_set():
                # Its system still takes what is sent.
                session.publish(Outgoing("t", bytes(1000)))
                time.sleep(0.02)
                assert time.monotonic() - started < 4 * _KEEPALIVE_S
