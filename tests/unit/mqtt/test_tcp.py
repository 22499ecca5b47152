from __future__ import annotations

import socket
import threading
import time

import pytest

from vp_mqtt.mqtt.tcp import TcpSocket


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_small_packets_are_sent_and_acknowledged_without_delay(family: socket.AddressFamily, host: str) -> None:
    with socket.create_server((host, 0), family=family) as server, socket.socket(family) as link:
        link.connect(server.getsockname())
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        tcp = TcpSocket(link.fileno())
        assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        tcp.acknowledge_at_once()
        assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
        tcp.close()
        assert tcp._socket.fileno() == -1
        # The connection itself is still open.
        link.sendall(b"x")
        peer, _ = server.accept()
        with peer:
            assert peer.recv(1) == b"x"
        # Another thread may have closed it meanwhile.
        tcp.acknowledge_at_once()


def test_what_was_sent_last_is_read_by_an_end_that_still_sends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as link:
        tcp = TcpSocket(link.fileno())
        peer, _ = server.accept()
        closed = threading.Event()
        with peer:
            peer.sendall(b"x" * 50_000)
            link.sendall(b"the end")

            def leave() -> None:
                tcp.drain(10.0)
                tcp.close()
                link.close()
                closed.set()

            leaving = threading.Thread(target=leave)
            leaving.start()
            # As a broker that has many clients to serve before it reads what this one said.
            assert not closed.wait(0.1)
            for _ in range(20):
                peer.sendall(b"x" * 50_000)
            assert peer.recv(100) == b"the end"
            assert peer.recv(100) == b""
        leaving.join(10.0)
        assert not leaving.is_alive()


@pytest.mark.parametrize("chatters", [False, True])
def test_an_end_that_does_not_close_is_not_waited_for(*, chatters: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as link:
        tcp = TcpSocket(link.fileno())
        peer, _ = server.accept()
        left = threading.Event()

        def chatter() -> None:
            while not left.wait(0.001):
                peer.sendall(b"x")

        with peer:
            talking = threading.Thread(target=chatter, daemon=True)
            if chatters:
                talking.start()
            started = time.monotonic()
            tcp.drain(0.2)
            assert 0.2 <= time.monotonic() - started < 10
            left.set()
            if chatters:
                talking.join()
        tcp.close()


def test_sockets_other_than_tcp_are_left_alone() -> None:
    one, other = socket.socketpair()
    with one, other:
        tcp = TcpSocket(one.fileno())
        tcp.acknowledge_at_once()
        tcp.close()
