"""TCP without delays for small packets."""

from __future__ import annotations

import contextlib
import os
import socket

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class TcpSocket:
    """The TCP socket of a connection, beneath TLS and WebSockets, for its options."""

    def __init__(self, descriptor: int) -> None:
        """Send small packets at once: with Nagle's algorithm on one end, QoS 1 costs tens of ms."""
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._is_tcp = self._socket.family in {socket.AF_INET, socket.AF_INET6}
        if self._is_tcp:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def acknowledge_at_once(self) -> None:
        """Ask the kernel not to delay its acknowledgements, until it forgets.

        A broker with Nagle's algorithm on (Mosquitto unless `set_tcp_nodelay true`, and rumqttd) holds back the second
        small packet until the first is acknowledged, which Linux puts off for 40 ms.
        """
        if self._is_tcp and _QUICKACK is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def close(self) -> None:
        """Let go of the descriptor: the connection ends when its last descriptor is closed."""
        self._socket.close()
