"""Topic aliases over a real broker."""

from __future__ import annotations

import threading

from tests.support.broker import Mosquitto
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session

_TOPICS = [f"t/{number}" for number in range(30)]


def test_aliased_messages_arrive_on_their_topics() -> None:
    """More topics than the broker accepts aliases (ten, by default), over a connection that is lost once."""
    arrived: list[tuple[str, bytes]] = []
    changed = threading.Condition()

    def take(message: Received) -> None:
        with changed:
            arrived.append((message.topic, message.payload))
            changed.notify_all()

    def fail(error: UserError) -> None:
        raise error

    with Mosquitto() as broker:
        session = Session(
            BrokerOptions(url=broker.url), client_id="both", subscriptions=[("t/#", 0)], on_message=take, on_end=fail
        )
        session.start()
        connections = []
        expected: list[tuple[str, bytes]] = []
        for connection in range(2):
            assert session.connected.wait(10)
            for round_ in range(3):
                for topic in _TOPICS:
                    payload = f"{connection}.{round_}".encode()
                    sent = session.publish(Outgoing(topic, payload))
                    assert sent is not None
                    expected.append((topic, payload))
            with changed:
                assert changed.wait_for(lambda: len(arrived) >= len(expected), 10)
            connections.append(session.connections)
            if not connection:
                broker.stop()
                broker.start()
                with changed:
                    changed.wait_for(lambda: not session.connected.is_set(), 5)
        session.stop()
    assert arrived == expected
    assert connections == [1, 2]
