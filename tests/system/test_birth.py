"""Which of two births, or of birth and goodbye, a real Mosquitto keeps in the end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.support.broker import Mosquitto
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.mqtt.delivery import Sent
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.mqtt.session import Session

TOPIC = "t/status"
WAIT_S = 20.0


def retained(text: bytes) -> Outgoing:
    return Outgoing(TOPIC, text, qos=1, retain=True)


@pytest.mark.parametrize(
    "change",
    [lambda session: session.set_birth(retained(b"new")), lambda session: session.stop(retained(b"new"), WAIT_S)],
    ids=["another birth", "goodbye"],
)
def test_what_is_set_while_a_birth_is_on_its_way_is_what_stays(
    change: Callable[[Session], None], broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(BrokerOptions(url=broker.url), client_id="node", birth=retained(b"old"))
    publish, begun, may_go, is_out = session.publish, threading.Event(), threading.Event(), threading.Event()

    def publish_late(message: Outgoing) -> Sent | None:
        if message.payload != b"old":
            return publish(message)
        begun.set()
        may_go.wait(WAIT_S)
        sent = publish(message)
        is_out.set()
        return sent

    monkeypatch.setattr(session, "publish", publish_late)
    session.start()
    assert begun.wait(WAIT_S)
    changing = threading.Thread(target=change, args=(session,))
    changing.start()
    # Without waiting for the one before, it would be published now.
    changing.join(0.5)
    may_go.set()
    assert is_out.wait(WAIT_S)
    changing.join(WAIT_S)
    session.stop()
    kept: list[bytes] = []
    heard = threading.Event()

    def hear(payload: bytes) -> None:
        kept.append(payload)
        heard.set()

    with Session(
        BrokerOptions(url=broker.url),
        client_id="watcher",
        subscriptions=[(TOPIC, 1)],
        on_message=lambda message: hear(message.payload),
    ):
        assert heard.wait(WAIT_S)
    assert kept == [b"new"]
