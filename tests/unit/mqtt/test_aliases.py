from __future__ import annotations

import threading
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.support.broker import Mosquitto
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.aliases import Aliases
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.mqtt.session import Session

_TOPICS = [f"t/{number}" for number in range(30)]


@given(st.integers(0, 20), st.lists(st.sampled_from(_TOPICS), max_size=100))
def test_a_broker_can_always_tell_the_topic(maximum: int, topics: Sequence[str]) -> None:
    aliases = Aliases(maximum)
    told: dict[int, str] = {}
    for topic in topics:
        sent, alias = aliases.of(Outgoing(topic, b"x"))
        if alias is None:
            assert sent == topic
            continue
        assert 1 <= alias <= maximum
        if sent:
            assert alias not in told
            told[alias] = sent
        assert told[alias] == topic


def test_what_is_acknowledged_retained_or_large_has_no_alias() -> None:
    aliases = Aliases(10)
    for message in (Outgoing("t", b"", qos=1), Outgoing("t", b"", retain=True), Outgoing("t", bytes(5000))):
        assert aliases.of(message) == ("t", None)


def test_messages_arrive_on_their_topics() -> None:
    """More topics than the broker takes aliases (ten, by default), over a connection that is lost once."""
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
