"""The TCP socket under a connection: options that keep small packets from being delayed, and the bytes it has moved."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
import time

from vp_mqtt.mqtt.patience import Traffic

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
# Linux's struct tcp_info (linux/tcp.h): tcpi_bytes_acked and tcpi_bytes_received, 64 bits each.
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_MOVED = struct.Struct("=120xQQ")
_READ_BYTES = 65_536
_INT = struct.Struct("=i")


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

    def traffic(self) -> Traffic | None:
        """Return the bytes that the connection has moved so far, TLS included; None where the kernel does not say."""
        if not self._is_tcp or _TCP_INFO is None:
            return None
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _MOVED.size)
            acknowledged, received = _MOVED.unpack(info)
            (waiting,) = _INT.unpack(fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))
        except (OSError, struct.error):
            return None
        return Traffic(acknowledged, received, waiting)

    def drain(self, patience: float) -> None:
        """Say that nothing follows, and read what still arrives until the other end closes, for so many seconds.

        A socket that is closed when something has arrived unread, or still arrives, resets the connection. A broker
        that is just sending to it finds that before it reads the DISCONNECT, and publishes the will.
        """
        until = time.monotonic() + patience
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(_READ_BYTES):
                    return

    def close(self) -> None:
        """Close the duplicate: a connection ends when the last of its descriptors is closed."""
        self._socket.close()
