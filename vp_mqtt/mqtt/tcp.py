"""TCP options that keep small packets from being delayed."""

from __future__ import annotations

import contextlib
import os
import socket

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class TcpSocket:
    """The TCP socket under a connection's TLS and WebSocket layers."""

    def __init__(self, descriptor: int) -> None:
        """Have small packets sent at once: with Nagle's algorithm on one end, QoS 1 takes tens of milliseconds.

        Args:
            descriptor: of the socket; a duplicate of it is used.
        """
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._is_tcp = self._socket.family in {socket.AF_INET, socket.AF_INET6}
        if self._is_tcp:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def acknowledge_at_once(self) -> None:
        """Ask the kernel not to delay acknowledgements; it forgets that after a while.

        A broker that uses Nagle's algorithm (Mosquitto unless `set_tcp_nodelay true`, and rumqttd) holds the second
        small packet back until the first is acknowledged, which Linux puts off for up to 40 ms.
        """
        if self._is_tcp and _QUICKACK is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def close(self) -> None:
        """Close the duplicate: a connection ends when the last of its descriptors is closed."""
        self._socket.close()
