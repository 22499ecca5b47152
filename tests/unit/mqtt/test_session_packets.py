"""What sessions send and receive, with a scripted broker."""

from __future__ import annotations

import logging
import struct
import threading
import time

import pytest

from tests.support import scripted_broker
from tests.support.scripted_broker import (
    CONNECT,
    MAXIMUM_PACKET_SIZE,
    PUBLISH,
    SUBSCRIBE,
    TOPIC_ALIAS_MAXIMUM,
    UNSUBSCRIBE,
    WAIT,
    ScriptedBroker,
    publish_packet,
    until,
)
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt import client, connection
from vp_mqtt.mqtt.message import Outgoing, Received, Subscription
from vp_mqtt.mqtt.session import Session, connected
from vp_mqtt.mqtt.tcp import TcpSocket

UNREACHABLE = "mqtt://127.0.0.1:9"


# CONNECT


def test_the_connect_packet(broker: ScriptedBroker) -> None:
    options = BrokerOptions(url=broker.url, username="someone", password="secret", keepalive_s=17)
    will = Outgoing("a/will", b"gone", qos=1, retain=True)
    with Session(options, client_id="me", will=will, max_packet_bytes=4321) as running:
        assert running.wait_until_connected(WAIT)
    (connect,) = broker.await_packets(CONNECT)
    protocol, level, flags, keepalive = struct.unpack_from("!6sBBH", connect.body)
    assert (protocol, level, keepalive) == (scripted_broker.text(b"MQTT"), 5, 17)
    clean_start, has_will, will_qos_1, will_retain, has_password, has_username = 0x02, 0x04, 0x08, 0x20, 0x40, 0x80
    assert flags == clean_start | has_will | will_qos_1 | will_retain | has_password | has_username
    properties = bytes([MAXIMUM_PACKET_SIZE]) + struct.pack("!I", 4321)
    own = [b"me", b"a/will", b"gone", b"someone", b"secret"]
    fields = [scripted_broker.text(one) for one in own]
    fields.insert(1, b"\0")  # the will has no properties
    assert connect.body[10:] == bytes([len(properties)]) + properties + b"".join(fields)


@pytest.mark.parametrize(
    ("options", "account"),
    [
        ({}, []),
        ({"username": "someone"}, [b"someone"]),
        ({"username": "someone", "password": ""}, [b"someone", b""]),
    ],
)
def test_credentials_are_sent_only_if_given(
    options: dict[str, str], account: list[bytes], broker: ScriptedBroker
) -> None:
    with connected(BrokerOptions(url=broker.url, **options), client_id="me"):  # type: ignore[arg-type]
        pass
    (connect,) = broker.await_packets(CONNECT)
    assert connect.body.endswith(b"".join(map(scripted_broker.text, [b"me", *account])))


def test_the_user_name_may_stand_in_the_url(broker: ScriptedBroker) -> None:
    with connected(BrokerOptions(url=broker.url.replace("//", "//someone@")), client_id="me"):
        pass
    (connect,) = broker.await_packets(CONNECT)
    assert connect.body.endswith(scripted_broker.text(b"someone"))


# Subscriptions


def test_subscriptions_are_split_over_packets(broker: ScriptedBroker) -> None:
    wanted = [(f"t/{number}", number % 2) for number in range(20)]
    with connected(BrokerOptions(url=broker.url), client_id="me", subscriptions=wanted):
        packets = broker.await_packets(SUBSCRIBE, 3)
    assert [len(one.filters()) for one in packets] == [8, 8, 4]
    assert [(topic, options & 3) for one in packets for topic, options in one.filters()] == wanted


def test_retained_messages_are_left_at_the_broker_where_they_are_of_no_use(broker: ScriptedBroker) -> None:
    wanted = [Subscription("old and new"), Subscription("new", retained=False)]
    with connected(BrokerOptions(url=broker.url), client_id="me", subscriptions=wanted) as running:
        running.subscribe(["new, too"], retained=False)
        filters = [one for packet in broker.await_packets(SUBSCRIBE, 2) for one in packet.filters()]
    # Retain handling, bits 4 and 5: MQTT 5.0, section 3.8.3.1.
    assert [(topic, options >> 4) for topic, options in filters] == [("old and new", 0), ("new", 2), ("new, too", 2)]


def test_a_refused_subscription_is_logged(broker: ScriptedBroker, log: pytest.LogCaptureFixture) -> None:
    broker.suback = lambda topic: 0x87 if topic == "secret" else 0
    topics = [("open", 0), ("secret", 1), ("other", 0)]
    with connected(BrokerOptions(url=broker.url), client_id="me", subscriptions=topics):
        until(lambda: "subscription" in log.text)
    errors = [record.getMessage() for record in log.records if record.levelno == logging.ERROR]
    assert errors == ["the broker refuses our subscription to secret (Not authorized); check the access rules"]


def test_added_subscriptions_are_renewed_by_a_reconnect_and_those_given_up_are_not(broker: ScriptedBroker) -> None:
    with connected(BrokerOptions(url=broker.url), client_id="me", subscriptions=[("a", 1)]) as running:
        running.subscribe(["b", "c"], qos=1)
        running.subscribe(["a", "b"])
        running.unsubscribe("a")
        broker.await_packets(UNSUBSCRIBE)
        sent = [[topic for topic, _ in one.filters()] for one in broker.await_packets(SUBSCRIBE, 3)]
        assert sent == [["a"], ["b", "c"], ["a", "b"]]
        broker.hang_up()
        renewed = broker.await_packets(SUBSCRIBE, 4)[3]
        assert [(topic, options & 3) for topic, options in renewed.filters()] == [("b", 1), ("c", 1)]


def test_subscriptions_added_before_the_connection(broker: ScriptedBroker) -> None:
    running = Session(BrokerOptions(url=broker.url), client_id="me")
    running.subscribe(["early"])
    running.subscribe(["given up"])
    running.unsubscribe("given up")
    with running:
        ((topic, options),) = broker.await_packets(SUBSCRIBE)[0].filters()
        assert (topic, options & 3) == ("early", 0)
    assert broker.count(UNSUBSCRIBE) == 0


# Publishing


def test_the_birth_follows_the_subscriptions_and_can_be_replaced(broker: ScriptedBroker) -> None:
    birth, other = Outgoing("birth", b"one", qos=1, retain=True), Outgoing("birth", b"two", qos=1)
    with Session(BrokerOptions(url=broker.url), client_id="me", subscriptions=[("a", 0)], birth=birth) as running:
        broker.await_packets(PUBLISH)
        assert [one.kind for one in broker.packets] == [CONNECT, SUBSCRIBE, PUBLISH]
        running.set_birth(other)
        broker.await_packets(PUBLISH, 2)
        broker.hang_up()
        births = broker.await_packets(PUBLISH, 3)
    assert [one.body[-3:] for one in births] == [b"one", b"two", b"two"]
    assert [one.flags & 1 for one in births] == [1, 0, 0]


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("length", [0, 100, 120, 122, 130, 16_000, 16_370, 16_376, 16_400, 2_097_140, 2_097_200])
def test_packet_bytes_is_the_size_on_the_wire(length: int, qos: int, broker: ScriptedBroker) -> None:
    message = Outgoing("t/\u00e4", bytes(length), qos=qos, correlation=b"12345678", content_type="a/b", expiry_s=2)
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        assert running.publish(message) is not None
        (received,) = broker.await_packets(PUBLISH)
    assert received.size == message.packet_bytes()
    assert received.topic == "t/\u00e4"
    assert received.body.endswith(message.payload)


@pytest.mark.parametrize("remaining", [127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_packet_bytes_where_the_length_takes_another_byte(remaining: int, broker: ScriptedBroker) -> None:
    message = Outgoing("t", bytes(remaining - 4))
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        assert running.publish(message) is not None
        (received,) = broker.await_packets(PUBLISH)
    assert len(received.body) == remaining
    assert received.size == message.packet_bytes()


def test_a_message_is_published_with_its_properties(broker: ScriptedBroker) -> None:
    message = Outgoing("t", b"payload", retain=True, correlation=b"id", content_type="a/b", expiry_s=7)
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        assert running.publish(message) is not None
        (received,) = broker.await_packets(PUBLISH)
    expiry, content_type, correlation = b"\x02\0\0\0\x07", b"\x03\0\x03a/b", b"\x09\0\x02id"
    length = len(expiry + content_type + correlation)
    topic = scripted_broker.text(b"t")
    assert received.flags == 1
    assert received.body[: len(topic) + 1] == topic + bytes([length])
    properties = received.body[len(topic) + 1 :][:length]
    assert all(one in properties for one in (expiry, content_type, correlation))
    assert received.body.endswith(b"payload")


def test_packets_over_the_brokers_limit_are_not_sent(broker: ScriptedBroker) -> None:
    broker.properties = bytes([MAXIMUM_PACKET_SIZE]) + struct.pack("!I", 100)
    exactly = Outgoing("t", bytes(94))
    assert exactly.packet_bytes() == 100
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        assert running.max_publish_bytes == 100
        assert running.publish(Outgoing("t", bytes(95))) is None
        assert running.publish(exactly) is not None
        assert broker.await_packets(PUBLISH)[0].size == 100
        assert broker.none_follows(PUBLISH, 0.02)


def test_the_default_packet_limit_is_that_of_mqtt(broker: ScriptedBroker) -> None:
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        assert running.max_publish_bytes == 268_435_455


@pytest.mark.parametrize("maximum", [0, 1, 2])
def test_no_more_topic_aliases_than_the_broker_accepts(maximum: int, broker: ScriptedBroker) -> None:
    broker.properties = bytes([TOPIC_ALIAS_MAXIMUM]) + struct.pack("!H", maximum)
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        for topic in ("a", "b", "c", "a", "b", "c"):
            assert running.publish(Outgoing(topic, b"")) is not None
        packets = broker.await_packets(PUBLISH, 6)
        assert [one.topic for one in packets[:3]] == ["a", "b", "c"]
        assert [one.topic for one in packets[3:]] == [""] * maximum + ["a", "b", "c"][maximum:]
        properties = [one.body[2 + len(one.topic) :] for one in packets]
        aliases = [b"\x03\x23" + struct.pack("!H", number) for number in range(1, maximum + 1)]
        assert properties == (aliases + [b"\0"] * (3 - maximum)) * 2
        broker.hang_up()
        until(lambda: running.connections == 2)
        assert running.publish(Outgoing("a", b"")) is not None
        assert broker.await_packets(PUBLISH, 7)[6].topic == "a"


def test_wait_for_delivery(broker: ScriptedBroker) -> None:
    broker.puback = None
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        at_most_once = running.publish(Outgoing("t", b""))
        assert at_most_once is not None
        assert at_most_once.wait(WAIT)
        assert not at_most_once.is_pending
        sent = running.publish(Outgoing("t", b"", qos=1))
        assert sent is not None
        assert not sent.wait(0)
        started, worked = time.monotonic(), time.thread_time()
        assert not sent.wait(0.3)
        assert 0.29 < time.monotonic() - started < WAIT
        assert time.thread_time() - worked < 0.05, "it polls instead of waiting"
        until(lambda: sent.is_pending)
        packet_id = broker.await_packets(PUBLISH, 2)[1].packet_id
        threading.Timer(
            0.02, broker.send, [scripted_broker.packet(scripted_broker.PUBACK, packet_id + b"\0\0")]
        ).start()
        assert sent.wait(WAIT)
        assert not sent.is_pending
        assert not sent.is_refused


def test_wait_ends_when_the_connection_is_lost(broker: ScriptedBroker) -> None:
    broker.puback = None
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        sent = running.publish(Outgoing("t", b"", qos=1))
        assert sent is not None
        threading.Timer(0.02, broker.hang_up).start()
        started = time.monotonic()
        assert not sent.wait(WAIT)
        assert time.monotonic() - started < 1
        assert not sent.is_pending


def test_refused_messages_are_marked_and_logged_once(broker: ScriptedBroker, log: pytest.LogCaptureFixture) -> None:
    broker.puback = 0x87
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        both = [running.publish(Outgoing("t", b"", qos=1)) for _ in range(2)]
        for sent in both:
            assert sent is not None
            assert sent.wait(WAIT)
            assert sent.is_refused
            assert log.text.count("the broker refuses a message of ours (Not authorized)") == 1
        broker.puback = 0
        accepted = running.publish(Outgoing("t", b"", qos=1))
        assert accepted is not None
        assert accepted.wait(WAIT)
        assert not accepted.is_refused
    assert log.text.count("the broker refuses a message of ours (Not authorized)") == 1


def test_only_the_latest_refusals_are_remembered(broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_REMEMBERED_REFUSALS", 2)
    broker.puback = 0x87
    with connected(BrokerOptions(url=broker.url), client_id="me") as running:
        sents = []
        for _ in range(4):
            sent = running.publish(Outgoing("t", b"", qos=1))
            assert sent is not None
            assert sent.wait(WAIT)
            sents.append(sent)
        until(lambda: sents[3].is_refused)
    assert [sent.is_refused for sent in sents] == [False, False, True, True]


def test_without_a_connection_nothing_is_published(broker: ScriptedBroker) -> None:
    running = Session(BrokerOptions(url=broker.url), client_id="me")
    assert running.publish(Outgoing("t", b"")) is None
    running.set_birth(Outgoing("t", b"birth"))
    with running:
        broker.await_packets(PUBLISH)
        broker.refuse_connections()
        broker.hang_up()
        until(lambda: not running.connected.is_set())
        assert running.publish(Outgoing("t", b"late")) is None
    assert running.publish(Outgoing("t", b"later")) is None
    assert [one.body[-5:] for one in broker.await_packets(PUBLISH)] == [b"birth"]


# Received messages


def test_received_messages_have_correlation_data_and_time(broker: ScriptedBroker) -> None:
    messages: list[Received] = []
    with connected(BrokerOptions(url=broker.url), client_id="me", on_message=messages.append):
        before = time.monotonic()
        broker.send(publish_packet(b"a/b", b"one", b"\x09" + scripted_broker.text(b"id")))
        broker.send(publish_packet(b"\xff", b"a topic that is not UTF-8"))
        broker.send(publish_packet(b"a/c", b""))
        until(lambda: len(messages) == 2)
    assert [(m.topic, m.payload, m.correlation) for m in messages] == [("a/b", b"one", b"id"), ("a/c", b"", None)]
    assert type(messages[0].payload) is bytes
    assert before <= messages[0].at <= messages[1].at <= time.monotonic()


def test_a_session_is_alive_while_its_threads_are(broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Received) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    running = Session(BrokerOptions(url=broker.url), client_id="me", on_message=fail)
    until(lambda: running.is_stuck(WAIT))
    with running:
        assert running.wait_until_connected(WAIT)
        until(lambda: not running.is_stuck(WAIT))
        broker.send(publish_packet(b"t", b""))
        until(lambda: running.is_stuck(WAIT))
        assert running.connected.is_set()


def test_tcp_is_kept_from_delaying_small_packets(broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    class Recorder(TcpSocket):
        def acknowledge_at_once(self) -> None:
            calls.append("acknowledge")

        def close(self) -> None:
            super().close()
            calls.append("close")

    calls: list[str] = []
    monkeypatch.setattr(client, "TcpSocket", Recorder)
    options = BrokerOptions(url=broker.url)
    with connected(options, client_id="me", on_message=lambda _: calls.append("message")) as running:
        sent = running.publish(Outgoing("t", b"", qos=1))
        assert sent is not None
        assert sent.wait(WAIT)
        until(lambda: "acknowledge" in calls)
        broker.send(publish_packet(b"t", b""))
        until(lambda: calls[-2:] == ["message", "acknowledge"])
    until(lambda: calls[-1] == "close")


def test_a_session_whose_network_hangs_is_stuck(broker: ScriptedBroker) -> None:
    release = threading.Event()
    patience = 1.5  # an idle network comes round once a second

    def hang(_: Received) -> None:
        release.wait(WAIT)

    with connected(BrokerOptions(url=broker.url), client_id="me", on_message=hang) as running:
        assert not running.is_stuck(patience)
        broker.send(publish_packet(b"t", b""))
        until(lambda: running.is_stuck(0.2))
        release.set()
        until(lambda: not running.is_stuck(patience))


def test_what_a_message_is_refused_for_is_reported(broker: ScriptedBroker) -> None:
    messages: list[Received] = []
    refused: list[tuple[str, str]] = []
    running = Session(
        BrokerOptions(url=broker.url),
        client_id="me",
        on_message=messages.append,
        on_refused=lambda topic, reason: refused.append((topic, reason)),
    )
    with running:
        assert running.wait_until_connected(WAIT)
        broker.send(publish_packet(b"a/b", b"bad", b"\x26\0\0\0\0" * 100_000))
        broker.send(publish_packet(b"a/c", b"good"))
        until(lambda: messages)
        assert running.connections == 1
    assert refused == [("a/b", "more than 1024 bytes of properties")]
    assert [message.topic for message in messages] == ["a/c"]
