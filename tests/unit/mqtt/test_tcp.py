from __future__ import annotations

import socket

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


def test_sockets_other_than_tcp_are_left_alone() -> None:
    one, other = socket.socketpair()
    with one, other:
        tcp = TcpSocket(one.fileno())
        tcp.acknowledge_at_once()
        tcp.close()
