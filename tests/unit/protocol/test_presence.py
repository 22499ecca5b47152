from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.statuses import status_of
from vp_mqtt.protocol.messages import State, StatusMessage
from vp_mqtt.protocol.presence import NodePresence, Presence, silent_after_s


def status(state: State = State.ONLINE, stats_every_s: float | None = 5.0) -> StatusMessage:
    return status_of("v2", state=state, variant=2, stats_every_s=stats_every_s)


def test_a_retained_status_alone_makes_no_node_alive() -> None:
    node = NodePresence(status(), retained=True, now=100.0)
    assert node.at(100.0) is Presence.ONLINE
    assert not node.is_heard(100.0)
    assert node.at(115.0) is Presence.ONLINE
    assert node.at(115.1) is Presence.SILENT
    assert not node.is_heard(115.1)


def test_a_node_is_online_while_its_stats_arrive() -> None:
    node = NodePresence(status(), retained=True, now=0.0)
    for now in range(4, 400, 4):
        node.note_heard(float(now))
        assert node.is_heard(float(now))
        assert node.at(now + 15.0) is Presence.ONLINE
    assert node.at(396 + 15.1) is Presence.SILENT
    node.note_heard(500.0)
    assert node.at(500.0) is Presence.ONLINE


def test_a_fresh_status_is_heard() -> None:
    assert NodePresence(status(), retained=False, now=7.0).is_heard(7.0)
    node = NodePresence(status(State.OFFLINE), retained=True, now=7.0)
    node.note_status(status(), retained=False, now=50.0)
    assert node.is_heard(50.0)


def test_the_interval_is_the_one_that_the_status_names() -> None:
    assert silent_after_s(status(stats_every_s=None)) == 15.0
    assert silent_after_s(status(stats_every_s=0.5)) == 3.0
    node = NodePresence(status(stats_every_s=60.0), retained=True, now=0.0)
    assert node.at(179.0) is Presence.ONLINE
    assert node.at(181.0) is Presence.SILENT


def test_silence_while_the_listener_was_cut_off_says_nothing() -> None:
    node = NodePresence(status(), retained=False, now=0.0)
    node.note_deaf(100.0)
    assert node.at(110.0) is Presence.ONLINE
    assert node.at(115.1) is Presence.SILENT


@given(
    state=st.sampled_from([State.STOPPED, State.OFFLINE]),
    heard=st.lists(st.floats(0, 1e6)),
    now=st.floats(0, 1e6),
    retained=st.booleans(),
)
def test_stopped_and_offline_nodes_are_never_online(
    state: State, heard: list[float], now: float, *, retained: bool
) -> None:
    node = NodePresence(status(state), retained=retained, now=0.0)
    for time in heard:
        node.note_heard(time)
    assert str(node.at(now)) == str(state)
    assert not node.is_heard(now)
