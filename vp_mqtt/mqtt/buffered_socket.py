"""A socket that reads ahead: an MQTT packet takes its share of one system call in place of four of its own."""

from __future__ import annotations

import socket
import ssl

_READ_AHEAD_BYTES = 65_536


class BufferedSocket:
    """A TCP or TLS socket whose `recv` is served from a buffer; everything else is passed on to the socket.

    paho reads each packet byte by byte at first. Every call lets another thread have the interpreter, and waits up to
    5 ms to get it back from one that computes: in a flood of messages, that is most of the time.
    """

    def __init__(self, inner: socket.socket) -> None:
        """Wrap a connected socket, which nothing else may read from."""
        self._inner = inner
        self._buffer = b""
        self._position = 0

    def recv(self, size: int) -> bytes:
        """Return at most `size` bytes, at least one; none at the end of the stream.

        Raises:
            BlockingIOError: nothing has arrived, and the socket does not block; with TLS, ssl.SSLWantReadError.
        """
        if self._position == len(self._buffer):
            if size >= _READ_AHEAD_BYTES:
                return self._inner.recv(size)
            self._buffer = self._inner.recv(_READ_AHEAD_BYTES)
            self._position = 0
        start, self._position = self._position, min(self._position + size, len(self._buffer))
        return self._buffer[start : self._position]

    def pending(self) -> int:
        """Return how many bytes have been read ahead, which `select` does not see."""
        decrypted = self._inner.pending() if isinstance(self._inner, ssl.SSLSocket) else 0
        return len(self._buffer) - self._position + decrypted

    def send(self, data: bytes | bytearray) -> int:
        """Send bytes, and return how many were taken."""
        return self._inner.send(data)

    def fileno(self) -> int:
        """Return the descriptor, for `select`."""
        return self._inner.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 (the interface of sockets)
        """Set whether calls wait."""
        self._inner.setblocking(flag)

    def close(self) -> None:
        """Close the socket."""
        self._inner.close()
