"""What is said of an address where no MQTT 5 broker answers, by the answers of real brokers and servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt import diagnosis
from vp_mqtt.mqtt.diagnosis import diagnose

_LEVEL_AT = 8  # of the protocol's level in CONNECT
_UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def mqtt_5(request: bytes) -> bytes:
    return b"\x20\x03\0\0\0" if request[:1] == b"\x10" else b""


def mqtt_3(request: bytes) -> bytes:
    """NATS, aedes, RabbitMQ 3: MQTT 5 is refused with code 1, in the format of MQTT 3.1.1."""
    return b"\x20\x02\0" + bytes([request[_LEVEL_AT] != 4]) if request[:1] == b"\x10" else b""


def mqtt_3_silent(request: bytes) -> bytes:
    """Close the connection at an MQTT 5 CONNECT, as amqtt does with one that has a will."""
    return b"\x20\x02\0\0" if request[:1] == b"\x10" and request[_LEVEL_AT] == 4 else b""


def websocket(request: bytes) -> bytes:
    return _UPGRADED if request.startswith(b"GET /mqtt ") else b"HTTP/1.0 403 Forbidden\r\n\r\n"


def web(_: bytes) -> bytes:
    return b"<!DOCTYPE HTML>\n<html>"


def nothing(_: bytes) -> bytes:
    return b""


@contextmanager
def serving(answer: Callable[[bytes], bytes], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on a free port: answer the first bytes of each connection, and close it."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = server.accept()
                with contextlib.suppress(OSError), link:
                    talk: Any = tls.wrap_socket(link, server_side=True) if tls is not None else link
                    talk.sendall(answer(talk.recv(1000)))
                    talk.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


NO_MQTT_5 = "it does not speak MQTT 5; vp-mqtt needs a broker that does, such as Mosquitto (docs/brokers.md)"
NO_BROKER = "a web server answers there, not an MQTT broker; check the port and the path"


@pytest.mark.parametrize(
    ("scheme", "answer", "is_secure", "expected"),
    [
        ("mqtt", mqtt_5, False, None),
        ("mqtts", mqtt_5, True, None),
        ("wss", websocket, True, None),
        ("mqtt", mqtt_3, False, NO_MQTT_5),
        ("mqtt", mqtt_3_silent, False, NO_MQTT_5),
        ("mqtts", mqtt_3, True, NO_MQTT_5),
        ("mqtts", mqtt_3, False, NO_MQTT_5),
        ("mqtt", mqtt_5, True, "it speaks MQTT over TLS: write mqtts://127.0.0.1:PORT"),
        ("mqtt", websocket, False, "it speaks MQTT over WebSockets without TLS: write ws://127.0.0.1:PORT"),
        ("mqtt", websocket, True, "it speaks MQTT over WebSockets with TLS: write wss://127.0.0.1:PORT"),
        ("mqtts", mqtt_5, False, "it speaks MQTT without TLS: write mqtt://127.0.0.1:PORT"),
        ("mqtts", websocket, True, "it speaks MQTT over WebSockets with TLS: write wss://127.0.0.1:PORT"),
        ("ws", mqtt_5, False, "it speaks MQTT without TLS: write mqtt://127.0.0.1:PORT"),
        ("mqtt", web, False, NO_BROKER),
        ("ws", web, False, NO_BROKER),
        ("mqtts", web, True, NO_BROKER),
        ("mqtt", nothing, True, "it speaks TLS: write mqtts://127.0.0.1:PORT"),
        ("mqtts", nothing, True, None),
        ("mqtt", nothing, False, None),
    ],
)
def test_what_speaks_there_is_named(
    scheme: str, answer: Callable[[bytes], bytes], expected: str | None, tls: ssl.SSLContext, *, is_secure: bool
) -> None:
    with serving(answer, tls if is_secure else None) as port:
        found = diagnose(BrokerOptions(url=f"{scheme}://127.0.0.1:{port}"))
    assert found == (expected and expected.replace("PORT", str(port)))


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_TIMEOUT_S", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert diagnose(BrokerOptions(url=f"mqtt://127.0.0.1:{server.getsockname()[1]}")) is None


def test_nothing_listens() -> None:
    assert diagnose(BrokerOptions(url="mqtt://127.0.0.1:9")) is None
