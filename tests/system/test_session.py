"""Sessions on a real Mosquitto: reconnects, limits, TLS, and the failures that other MQTT applications suffer from."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.broker import Mosquitto
from tests.support.site import Site
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.local.ports import free_port
from vp_mqtt.mqtt.connection import Connection
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.retries import BACKOFF_CAP_S
from vp_mqtt.mqtt.session import Session, wait_until_subscribed
from vp_mqtt.protocol.frames import FrameId

MOVED_WITHIN_S = 5.0


class Listener:
    """A session, and what it has received and reported."""

    def __init__(
        self,
        url: str,
        client_id: str = "listener",
        topic: str = "t/#",
        *,
        is_will_retained: bool = False,
        **options: Any,
    ) -> None:
        self.messages: list[Received] = []
        self.ends: list[UserError] = []
        self.ended = threading.Event()
        self.arrived = threading.Event()
        self.session = Session(
            BrokerOptions(url=url, **options),
            client_id=client_id,
            subscriptions=[(topic, 1)],
            on_message=self._take,
            on_end=self._end,
            birth=Outgoing("t/birth", client_id.encode(), qos=1),
            will=Outgoing("t/will", client_id.encode(), qos=1, retain=is_will_retained),
        )
        self.session.start()

    def _take(self, message: Received) -> None:
        self.messages.append(message)
        self.arrived.set()

    def _end(self, error: UserError) -> None:
        self.ends.append(error)
        self.ended.set()

    def until(self, topic: str, timeout: float = 30) -> Received:
        until = time.monotonic() + timeout
        while True:
            self.arrived.clear()
            for message in list(self.messages):
                if message.topic == topic:
                    return message
            assert self.arrived.wait(max(0.0, until - time.monotonic())), f"nothing on {topic}"


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    started: list[Listener] = []
    yield started
    for listener in started:
        listener.session.stop()


def test_properties_arrive_and_packet_sizes_are_exact(broker: Mosquitto, listeners: list[Listener]) -> None:
    listener = Listener(broker.url)
    listeners.append(listener)
    assert listener.session.connected.wait(5)
    for payload in (b"", b"x" * 100, b"x" * 130, b"x" * 20_000):
        message = Outgoing("t/a", payload, correlation=b"12345678", content_type="image/jpeg", expiry_s=2)
        assert listener.session.publish(message) is not None
        received = listener.until("t/a")
        assert (received.payload, received.correlation) == (payload, b"12345678")
        listener.messages.clear()
    # MQTT 5.0, 3.3: 1 + 1 fixed header, 2 + 3 topic, 1 property length, 1 + 2 + 8 correlation data, payload.
    assert Outgoing("t/a", b"x" * 20, correlation=b"12345678").packet_bytes() == 2 + 5 + 1 + 11 + 20


def test_small_packets_are_not_delayed(broker: Mosquitto, listeners: list[Listener]) -> None:
    listener = Listener(broker.url)
    listeners.append(listener)
    assert listener.session.connected.wait(5)
    tcp = listener.session._connection._client.tcp  # type: ignore[union-attr]
    assert tcp is not None
    assert tcp._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_reconnect_renews_subscriptions_and_birth(broker: Mosquitto, listeners: list[Listener]) -> None:
    listener = Listener(broker.url)
    listeners.append(listener)
    listener.until("t/birth")
    broker.kill()
    listener.messages.clear()
    broker.start()
    listener.until("t/birth")
    assert listener.session.connections == 2


def test_a_frozen_broker_is_detected_by_keepalive(broker: Mosquitto, listeners: list[Listener]) -> None:
    listener = Listener(broker.url, keepalive_s=2)
    listeners.append(listener)
    assert listener.session.connected.wait(5)
    broker.freeze()
    until = time.monotonic() + 8
    while listener.session.connected.is_set():
        assert time.monotonic() < until
        time.sleep(0.05)
    broker.thaw()
    assert listener.session.connected.wait(8)


def test_a_broker_that_answers_subscriptions_late_is_waited_for(
    broker: Mosquitto, listeners: list[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe = Connection.subscribe

    def subscribe_while_it_hangs(connection: Connection, some: Any) -> None:
        broker.freeze()
        threading.Timer(1.5, broker.thaw).start()
        subscribe(connection, some)

    monkeypatch.setattr(Connection, "subscribe", subscribe_while_it_hangs)
    listener = Listener(broker.url)
    listeners.append(listener)
    began = time.monotonic()
    wait_until_subscribed(listener.session)
    assert listener.session.is_subscribed
    assert time.monotonic() - began > 1.4
    assert listener.until("t/birth", 5).payload == b"listener"


def test_a_second_process_of_the_same_name_takes_over_and_the_first_ends_with_an_error(site: Site) -> None:
    site.start_variant(0)
    site.await_online("v0")
    first = site._processes["v0"]
    site.start_variant(0)
    assert first.wait(10) == 2
    assert "'v0' was started a second time, here, and took our place" in site.log("v0")
    # They must not keep evicting each other: the second comes online and stays online.
    site.start_fusion()
    site.await_log("fusion", "variant 0 is online")
    time.sleep(BACKOFF_CAP_S)
    assert site.probe.states()["v0"] == "online"
    assert site._processes["v0"].poll() is None
    assert "variant 0 is gone" not in site.log("fusion")


def test_a_refused_login_never_counts_as_connected() -> None:
    with Mosquitto("allow_anonymous false") as broker:
        passwords = broker.folder / "passwords"
        # An empty file: no account exists.
        passwords.write_text("")
        passwords.chmod(0o644)
        broker.stop()
        broker.extra = f"allow_anonymous false\npassword_file {passwords}"
        broker.start()
        listener = Listener(broker.url, username="a-user", password="hidden-from-logs")
        assert listener.ended.wait(5)
        assert "refused the connection" in str(listener.ends[0])
        assert "hidden-from-logs" not in str(listener.ends[0])
        assert not listener.session.connected.is_set()
        assert listener.session.connections == 0


def test_packets_over_the_brokers_limit_are_not_sent(listeners: list[Listener]) -> None:
    with Mosquitto("max_packet_size 2000") as broker:
        listener = Listener(broker.url)
        listeners.append(listener)
        listener.until("t/birth")
        assert listener.session.max_publish_bytes == 2000
        exactly = Outgoing("t/a", b"x" * 1990)
        assert exactly.packet_bytes() == 2000 - 1
        assert listener.session.publish(Outgoing("t/a", b"x" * 1992)) is None
        assert listener.session.publish(Outgoing("t/a", b"x" * 1991)) is not None
        assert len(listener.until("t/a").payload) == 1991
        assert listener.session.connections == 1


def test_frames_over_the_brokers_limit_are_shrunk(bundle: Path, tmp_path: Path) -> None:
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    with Mosquitto("max_packet_size 20000") as broker, Site(broker.url, broker.port, bundle, tmp_path) as site:
        site.start_all([0])
        site.start("camera", "camera", "--source", str(tmp_path / "noise.png"), "--frames", "5")
        assert site.wait("camera", 20) == 0
        site.probe.until(lambda: len(site.probe.labels()) == 5, "five labels")
        assert all(label.label for label in site.probe.labels())
        assert site.log("camera").count("over the broker's packet limit") == 1
        assert site.log("camera").count("connected to the broker") == 1


def test_a_camera_drops_frames_while_the_broker_is_stuck(site: Site, broker: Mosquitto, picture_folder: Path) -> None:
    site.start_all([0])
    site.start("camera", "camera", "--source", str(picture_folder), "--fps", "50")
    site.probe.until(lambda: len(site.probe.labels()) >= 5, "labels before")
    broker.freeze()
    time.sleep(2)
    broker.thaw()
    thawed = time.monotonic()
    site.probe.until(lambda: site.probe.stats("camera").get("dropped_slow_link", 0) >= 50, "frames dropped")
    numbers = [FrameId.parse(label.frame).sequence for label in site.probe.labels()]
    assert numbers == list(range(len(numbers)))
    # At the moment it thaws, the broker receives the frames in flight, not a backlog of two seconds.
    burst = [m for m in site.probe.received if thawed <= m.at <= thawed + 0.02 and m.topic.endswith("/frame")]
    assert len(burst) <= 2 + 2


def test_messages_lost_with_their_connection_are_no_longer_pending(
    broker: Mosquitto, listeners: list[Listener]
) -> None:
    listener = Listener(broker.url)
    listeners.append(listener)
    listener.until("t/birth")
    broker.freeze()
    sent = listener.session.publish(Outgoing("t/a", b"x", qos=1))
    assert isinstance(sent, Sent)
    assert sent.is_pending
    broker.thaw()
    listener.until("t/a")
    broker.freeze()
    lost = listener.session.publish(Outgoing("t/b", b"x", qos=1))
    assert lost is not None
    broker.kill()
    broker.start()
    listener.session.connected.wait(5)
    until = time.monotonic() + 5
    while listener.session.connections < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not lost.is_pending
    # Messages are about now: undelivered ones are not sent again over the next connection.
    assert not any(message.topic == "t/b" for message in listener.messages)


def test_websockets(listeners: list[Listener]) -> None:
    port = free_port()
    with Mosquitto(f"listener {port} 127.0.0.1\nprotocol websockets"):
        listener = Listener(f"ws://127.0.0.1:{port}")
        listeners.append(listener)
        listener.until("t/birth")


class Tls:
    """A Mosquitto with TLS, and the authority that signed its certificate."""

    def __init__(self, folder: Path, host: str) -> None:
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.port = free_port()
        self.broker = Mosquitto()
        certificate = self.authority.issue_cert(host)
        chain, key = self.broker.folder / "server.pem", self.broker.folder / "server.key"
        certificate.cert_chain_pems[0].write_to_path(str(chain))
        certificate.private_key_pem.write_to_path(str(key))
        key.chmod(0o644)
        self.broker.extra = f"listener {self.port} 127.0.0.1\ncertfile {chain}\nkeyfile {key}"


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
def test_tls(tmp_path: Path, listeners: list[Listener], scheme: str) -> None:
    tls = Tls(tmp_path, "127.0.0.1")
    if scheme == "wss":
        tls.broker.extra += "\nprotocol websockets"
    with tls.broker:
        listener = Listener(f"{scheme}://127.0.0.1:{tls.port}", ca_file=tls.ca_file)
        listeners.append(listener)
        listener.until("t/birth")


def test_an_unknown_authority_is_refused_in_one_line(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "127.0.0.1")
    with tls.broker:
        listener = Listener(f"mqtts://127.0.0.1:{tls.port}")
        assert listener.ended.wait(10)
        assert "certificate is not accepted" in str(listener.ends[0])
        assert "\n" not in str(listener.ends[0])
        assert listener.session.connections == 0


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "broker.example")
    with tls.broker:
        listener = Listener(f"mqtts://127.0.0.1:{tls.port}", ca_file=tls.ca_file)
        assert listener.ended.wait(10)
        assert "certificate is not accepted" in str(listener.ends[0])


def test_a_server_that_is_no_broker_never_counts_as_connected(listeners: list[Listener]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        listeners.append(listener)
        peer, _ = server.accept()
        with peer:
            peer.recv(100)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert not listener.session.connected.wait(1)


@pytest.mark.parametrize(
    ("extra", "feature"), [("retain_available false", "retained messages"), ("max_qos 0", "QoS 1")]
)
def test_a_feature_that_the_broker_lacks_is_named(extra: str, feature: str) -> None:
    with Mosquitto(extra) as broker:
        listener = Listener(broker.url, is_will_retained=True)
        assert listener.ended.wait(5)
        assert f"it does not offer {feature}" in str(listener.ends[0])


def test_an_address_with_the_wrong_scheme_is_corrected(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "127.0.0.1")
    with tls.broker:
        for given, right, port in (("mqtt", "mqtts", tls.port), ("ws", "mqtt", tls.broker.port)):
            listener = Listener(f"{given}://127.0.0.1:{port}")
            assert listener.ended.wait(10)
            assert str(listener.ends[0]).endswith(f": write {right}://127.0.0.1:{port}")


def test_a_broker_that_drops_every_client_is_tried_less_and_less_often(listeners: list[Listener]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        listeners.append(listener)
        server.settimeout(0.5)
        count, until = 0, time.monotonic() + 3
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                link, _ = server.accept()
                with link:
                    link.recv(1000)
                    link.sendall(b"\x20\x03\0\0\0")
                    count += 1
        # Without a growing back-off it would be twenty.
        assert 2 <= count <= 12


def test_a_session_moves_on_to_the_next_broker_of_a_cluster_and_back(listeners: list[Listener]) -> None:
    with Mosquitto() as one, Mosquitto() as two:
        listener = Listener(f"mqtt://127.0.0.1:{one.port},127.0.0.1:{two.port}")
        listeners.append(listener)
        listener.until("t/birth")
        for broker in (one, two):
            listener.messages.clear()
            began = time.monotonic()
            broker.kill()
            listener.until("t/birth")
            assert time.monotonic() - began < MOVED_WITHIN_S
            broker.start()


def test_the_second_broker_is_used_if_the_first_refuses_or_is_not_there(listeners: list[Listener]) -> None:
    with Mosquitto("allow_anonymous false") as refusing, Mosquitto() as good:
        listener = Listener(f"mqtt://127.0.0.1:{refusing.port},127.0.0.1:{free_port()},127.0.0.1:{good.port}")
        listeners.append(listener)
        listener.until("t/birth")
        assert not listener.ends
