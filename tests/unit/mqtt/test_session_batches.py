"""Messages that are sent together, and those that arrive together, with a scripted broker."""

from __future__ import annotations

from tests.support.scripted_broker import (
    PUBLISH,
    TOPIC_ALIAS_MAXIMUM,
    WAIT,
    ScriptedBroker,
    publish_packet,
    until,
)
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt import connection
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.session import Session


def test_messages_are_published_together(broker: ScriptedBroker) -> None:
    broker.properties = bytes([TOPIC_ALIAS_MAXIMUM, 0, 1])
    messages = [Outgoing("t", bytes([n]), correlation=b"id", content_type="a/b", expiry_s=7) for n in range(3)]
    running = Session(BrokerOptions(url=broker.url), client_id="me")
    assert running.publish_together(messages) == 0
    with running:
        assert running.wait_until_connected(WAIT)
        assert running.publish_together([]) == 0
        assert running.publish_together([*messages, Outgoing("t", bytes(connection.MAX_REMAINING_LENGTH))]) == 3
        received = broker.await_packets(PUBLISH, 3)
    assert [one.topic for one in received] == ["t", "", ""]
    assert [one.body[-1] for one in received] == [0, 1, 2]
    assert {one.qos for one in received} == {0}


def test_a_pause_follows_messages_that_arrive_together(broker: ScriptedBroker) -> None:
    calls: list[str] = []
    running = Session(
        BrokerOptions(url=broker.url),
        client_id="me",
        on_message=lambda message: calls.append(message.topic),
        on_pause=lambda: calls.append("pause"),
    )
    with running:
        assert running.wait_until_connected(WAIT)
        broker.send(publish_packet(b"a", b"") + publish_packet(b"b", b"") + publish_packet(b"c", b"")[:3])
        until(lambda: "b" in calls)
        broker.send(publish_packet(b"c", b"")[3:])
        until(lambda: "c" in calls)
    assert [one for one in calls if one != "pause"] == ["a", "b", "c"]
    # The packets of the connection itself may end with a pause, which can come as late as here.
    first = calls.index("a")
    assert calls[first : first + 3] == ["a", "b", "pause"]
