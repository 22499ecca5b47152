from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.mqtt.message import Outgoing, TopicAliases

_TOPICS = [f"t/{number}" for number in range(30)]


@given(st.integers(0, 20), st.lists(st.sampled_from(_TOPICS), max_size=100))
def test_every_alias_is_introduced_with_its_topic(maximum: int, topics: Sequence[str]) -> None:
    aliases = TopicAliases(maximum)
    told: dict[int, str] = {}
    for topic in topics:
        sent, alias = aliases.assign(Outgoing(topic, b"x"))
        if alias is None:
            assert sent == topic
            continue
        assert 1 <= alias <= maximum
        if sent:
            assert alias not in told
            told[alias] = sent
        assert told[alias] == topic


def test_acknowledged_retained_and_large_messages_get_no_alias() -> None:
    aliases = TopicAliases(10)
    for message in (Outgoing("t", b"", qos=1), Outgoing("t", b"", retain=True), Outgoing("t", bytes(5000))):
        assert aliases.assign(message) == ("t", None)


def test_payloads_up_to_1_kib_get_an_alias() -> None:
    aliases = TopicAliases(10)
    assert aliases.assign(Outgoing("large", bytes(1025))) == ("large", None)
    assert aliases.assign(Outgoing("small", bytes(1024))) == ("small", 1)


def test_by_default_there_are_no_aliases() -> None:
    assert TopicAliases().assign(Outgoing("t", b"")) == ("t", None)
