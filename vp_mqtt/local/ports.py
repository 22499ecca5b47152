"""TCP ports of this machine, and whether an MQTT broker answers on one."""

from __future__ import annotations

import secrets
import socket

HOST = "127.0.0.1"

_FIRST_PORT = 20_000
_PORTS = 10_000
_TRIES = 100
# MQTT 5 CONNECT, clean start, keep-alive 60 s, no properties, client id "vp-probe"; then DISCONNECT.
_CONNECT = b"\x10\x15\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x08vp-probe"
_DISCONNECT = b"\xe0\x00"
_CONNACK = 0x20
_CONNACK_BYTES = 4
"""The start of a CONNACK: type, length, flags, reason code."""


def is_free(port: int) -> bool:
    """Return whether nothing listens on TCP `port` of 127.0.0.1."""
    with socket.socket() as probe:
        # As brokers do: connections of an earlier broker that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a TCP port of 127.0.0.1, 20000 to 29999, that nothing listens on.

    The range is below the one that the kernel uses for outgoing connections: a client that tries to reach a stopped
    broker on a port of that range can end up connected to itself, and then keeps the broker from coming back.

    Raises:
        OSError: none was found in 100 tries.
    """
    for _ in range(_TRIES):
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        if is_free(port):
            return port
    raise OSError(f"no free TCP port between {_FIRST_PORT} and {_FIRST_PORT + _PORTS - 1}")


def connect_code(port: int, *, timeout: float = 1.0) -> int:
    """Open an MQTT 5 connection to `port` of 127.0.0.1 and return the broker's reason code: 0 means accepted.

    Args:
        port: a TCP port.
        timeout: seconds to wait for each step.

    Raises:
        OSError: nothing listens there, or the answer is not an MQTT broker's.
    """
    with socket.create_connection((HOST, port), timeout=timeout) as link:
        link.sendall(_CONNECT)
        answer = link.recv(_CONNACK_BYTES, socket.MSG_WAITALL)
        if len(answer) < _CONNACK_BYTES or answer[0] != _CONNACK:
            raise ConnectionError(f"no MQTT broker on port {port}: it answered {answer!r}")
        link.sendall(_DISCONNECT)
        return answer[3]
