"""What speaks at an address where no MQTT 5 broker answers as the address says.

Only for a broker that has never answered: each of the other protocols is tried, once, without a login.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt.failure import NEEDS_MQTT_5

_TIMEOUT_S = 1.5
_CONNACK = 0x20
_CONNACK_3_BYTES = 2
_SWITCHED = b" 101 "
_SCHEMES = {
    "mqtt": "MQTT without TLS",
    "mqtts": "MQTT over TLS",
    "ws": "MQTT over WebSockets without TLS",
    "wss": "MQTT over WebSockets with TLS",
}


class _Found(Enum):
    MQTT_5 = auto()
    MQTT_3 = auto()
    TLS = auto()
    WEB = auto()


def diagnose(options: BrokerOptions) -> str | None:
    """Return what is wrong with a broker's address, and what to write instead; None if that is not clear."""
    try:
        socket.create_connection((options.host, options.port), _TIMEOUT_S).close()
    except OSError:
        return None
    return _mismatch(options)


def _mismatch(options: BrokerOptions) -> str | None:
    own = options.scheme
    found = {own: _ask(options, own)}
    if found[own] is _Found.MQTT_5:
        return None
    for scheme, transport in _SCHEMES.items():
        if found[own] is not _Found.MQTT_3 and scheme != own:
            found[scheme] = _ask(options, scheme)
            if found[scheme] is _Found.MQTT_5:
                return f"it speaks {transport}: write {options.address_with(scheme)}"
    if _Found.MQTT_3 in found.values():
        return f"it does not speak MQTT 5; {NEEDS_MQTT_5}"
    if found.get("mqtts") is _Found.TLS and not options.uses_tls:
        return f"it speaks TLS: write {options.address_with('mqtts')}"
    if _Found.WEB in found.values():
        return "a web server answers there, not an MQTT broker; check the port and the path"
    return None


def _ask(options: BrokerOptions, scheme: str) -> _Found | None:
    """Return what answers at the broker's host and port if it is spoken to as a URL scheme says."""
    uses_tls, uses_websockets = scheme in {"mqtts", "wss"}, scheme in {"ws", "wss"}
    found = None
    try:
        for greeting in [_upgrade(options)] if uses_websockets else [_connect(5), _connect(4)]:
            with _link(options, uses_tls=uses_tls) as link:
                found = _Found.TLS if uses_tls else None
                link.sendall(greeting)
                answer = _receive(link)
            if answer[:1] == bytes([_CONNACK]):
                return _Found.MQTT_3 if answer[1:2] == bytes([_CONNACK_3_BYTES]) else _Found.MQTT_5
            if answer.startswith((b"HTTP/", b"<")):
                return _Found.MQTT_5 if uses_websockets and _SWITCHED in answer.partition(b"\r")[0] else _Found.WEB
    except ssl.SSLError as error:
        return _Found.TLS if "ALERT" in str(error.reason) else found
    except OSError:
        return found
    return found


def _receive(link: socket.socket) -> bytes:
    with contextlib.suppress(TimeoutError, ConnectionError):
        return link.recv(64)
    return b""


@contextmanager
def _link(options: BrokerOptions, *, uses_tls: bool) -> Iterator[socket.socket]:
    with socket.create_connection((options.host, options.port), _TIMEOUT_S) as link:
        if not uses_tls:
            yield link
            return
        # Nothing secret is sent, and what it says is not believed beyond a hint.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(link, server_hostname=options.host) as secure:
            yield secure


def _connect(level: int) -> bytes:
    """Return a CONNECT packet without a login: clean start, a keepalive of 10 s and an empty client id."""
    properties = b"\0" if level == 5 else b""  # noqa: PLR2004 (MQTT 5)
    body = b"\0\x04MQTT" + bytes([level, 2]) + b"\0\x0a" + properties + b"\0\0"
    return bytes([0x10, len(body)]) + body


def _upgrade(options: BrokerOptions) -> bytes:
    """Return a request to speak MQTT over a WebSocket (RFC 6455, section 4.1)."""
    lines = [
        f"GET {options.path} HTTP/1.1",
        f"Host: {options.host}:{options.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dnAtbXF0dCBhc2tzIHlvdQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: mqtt",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
