"""Members that share cameras, over a simulated broker: no frame is labelled twice, whatever happens to them."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.support.shard_network import CAMERAS, STEP_S, Member, Network
from vp_mqtt.fusion.rendezvous import owner

NAMES = ("a", "b", "c")


def network(*names: str) -> Network:
    """Return a network in which these members have been for a while."""
    found = Network(names)
    found.run(2.0)
    return found


def shares(*names: str) -> dict[str, set[str]]:
    """Return what each of these members has when they know each other."""
    return {name: {camera for camera in CAMERAS if owner(names, camera) == name} for name in names}


def missing(net: Network, first: int) -> int:
    """Return how many of the frames since `first` have no label."""
    return sum(1 for number in range(first + 1, net.announced + 1) if number not in {f.number for f in net.labels()})


def test_one_alone_has_all_cameras() -> None:
    assert network("a").owned() == {"a": set(CAMERAS)}


def test_members_that_know_each_other_share_all_cameras() -> None:
    assert network(*NAMES).owned() == shares(*NAMES)


def test_who_joins_gets_its_share_and_the_frames_of_one_way_there_and_back_are_lost() -> None:
    net = network("a", "b")
    before = net.announced
    net.members |= Network(["c"]).members
    net.run(2.0)
    assert net.owned() == shares(*NAMES)
    moved = shares(*NAMES)["c"]
    assert 0 < missing(net, before) - len(CAMERAS) <= 5 * len(moved)
    assert max(net.labels().values()) == 1


def test_who_dies_loses_its_cameras_to_the_others_and_no_other_camera_moves() -> None:
    net = network(*NAMES)
    before = net.owned()
    net.members["b"].is_dead = True
    net.run(1.0)
    assert net.owned() == shares("a", "c")
    assert before["a"] <= net.owned()["a"]
    assert before["c"] <= net.owned()["c"]


@pytest.mark.parametrize("seconds", [2.0, 3.5, 7.0, 20.0])
def test_who_was_frozen_labels_nothing_that_others_have(seconds: float) -> None:
    net = network("a", "b")
    net.members["a"].is_frozen = True
    net.run(seconds)
    net.members["a"].is_frozen = False
    net.run(3.0)
    assert max(net.labels().values()) == 1
    assert net.owned() == shares("a", "b")


@pytest.mark.parametrize("slow", ["a", "abc"])
def test_members_that_begin_at_the_same_time_over_slow_links_label_nothing_twice(slow: str) -> None:
    net = Network(NAMES)
    for name in slow:
        net.members[name].delay = 0.5
    net.run(8.0)
    assert net.owned() == shares(*NAMES)
    assert max(net.labels().values()) == 1


def test_members_whose_broker_starts_anew_label_nothing_twice_although_they_subscribe_to_what_they_had() -> None:
    net = network("a")
    net.members |= Network(["b"]).members
    net.members["b"].wanted = frozenset(CAMERAS)
    net.members["a"].is_dropped = True
    for member in net.members.values():
        member.delay = 0.5
    net.run(8.0)
    assert net.owned() == shares("a", "b")
    assert max(net.labels().values()) == 1


def test_who_gives_cameras_away_has_stopped_before_its_heir_begins_however_busy_it_is() -> None:
    net = network("a", "b")
    for member in net.members.values():
        member.lag = 0.5
    net.members |= Network(["c"]).members
    net.run(5.0)
    assert net.owned() == shares(*NAMES)
    assert max(net.labels().values()) == 1


def test_a_frozen_member_is_silent_after_three_periods_and_its_heir_begins() -> None:
    net = network("a", "b")
    net.members["a"].is_frozen = True
    net.run(2.0)
    assert net.owned() == {"b": shares("a", "b")["b"]}
    net.run(3.0)
    assert net.owned() == {"b": set(CAMERAS)}


def test_who_was_cut_off_takes_nobody_for_silent_whom_it_could_not_hear() -> None:
    net = network("a", "b")
    net.members["a"].is_cut = True
    net.run(3.9)
    net.members["a"].is_cut = False
    net.run(STEP_S)
    assert net.owned()["a"] == set()
    net.run(2.0)
    assert net.owned() == shares("a", "b")
    assert max(net.labels().values()) == 1


def test_what_the_broker_has_kept_of_a_dead_member_is_waited_for() -> None:
    net = network("a")
    net.members["a"].is_dead = True
    kept = net.members["a"].status()
    assert kept.yields == {}
    net.run(1.0)
    # As after a power cut: the will was never published.
    net.retained["a"] = kept
    net.members = Network(["b"]).members
    net.run(2.0)
    assert net.owned() == {"b": set()}
    net.run(3.0)
    assert net.owned() == {"b": set(CAMERAS)}


_ACTIONS = st.sampled_from(["freeze", "thaw", "cut", "join", "die", "start", "drop", "slow", "busy", "fast"])


def _act(net: Network, member: Member, action: str) -> None:
    match action:
        case "freeze" | "thaw":
            member.is_frozen = action == "freeze"
        case "drop":
            member.is_dropped = True
        case "cut" | "join":
            member.is_cut = action == "cut"
        case "die":
            member.is_dead = True
        case "start" if member.is_dead and not member.is_connected:
            net.members[member.name] = Network([member.name]).members[member.name]
            net.members[member.name].labelled = member.labelled
            net.members[member.name].tokens = member.tokens
            net.members[member.name].delay = member.delay
        case "slow" | "busy" | "fast":
            member.delay = 0.4 if action == "slow" else 0.01
            member.lag = 0.3 if action == "busy" else 0.0


@given(st.lists(st.tuples(st.sampled_from(NAMES), _ACTIONS, st.sampled_from([0.05, 0.3, 1.0, 2.7, 6.0])), max_size=12))
@settings(max_examples=60)
def test_no_frame_is_labelled_twice_and_who_is_left_has_all_cameras(events: list[tuple[str, str, float]]) -> None:
    net = network(*NAMES)
    for name, action, seconds in events:
        _act(net, net.members[name], action)
        net.run(seconds)
    for member in net.members.values():
        member.is_frozen = member.is_cut = False
        member.delay, member.lag = 0.01, 0.0
    net.run(15.0)
    living = [name for name, member in net.members.items() if not member.is_dead]
    assert max(net.labels().values(), default=0) <= 1
    assert net.owned() == (shares(*living) if living else {})
