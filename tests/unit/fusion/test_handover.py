"""Several bundles at one site: what a label is made of while boards change from one to another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fusing import windows_of
from tests.support.tiny import write_bundle
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.votes import Vote

DEADLINE = 0.25


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    folder = tmp_path_factory.mktemp("families")
    return [open_bundle(write_bundle(folder / name, name)).manifest for name in ("old", "new", "newer", "newest")]


def make(manifests: list[Manifest], known: int = 2) -> tuple[Windows, Handover]:
    return windows_of(*manifests[:known], deadline=DEADLINE)


def online(windows: Windows, manifest: Manifest, variants: range, now: float = 0.0) -> None:
    for variant in variants:
        windows.set_node(f"v{variant}", (manifest.short_digest, variant), now)


def vote_for(manifest: Manifest, winner: int) -> Vote:
    return Vote((winner, (winner + 1) % 4), (0.9, 0.05), manifest.short_digest)


def announce(sequence: int) -> Announce:
    return Announce(FrameId(1, sequence), 0.0, None)


def test_votes_of_another_bundle_are_not_added_up(manifests: list[Manifest]) -> None:
    old, new = manifests[:2]
    windows, _ = make(manifests)
    online(windows, old, range(4))
    online(windows, new, range(4, 6))
    assert windows.announce("cam", announce(0), 1.0) == []
    due = [result for v in (4, 5) for result in windows.vote("cam", FrameId(1, 0), v, vote_for(new, 2), 1.01)]
    assert due == []
    due = [result for v in range(4) for result in windows.vote("cam", FrameId(1, 0), v, vote_for(old, 1), 1.02)]
    assert [(d.family.manifest.name, d.winner) for d in due] == [("old", 1)]
    assert set(due[0].votes) <= set(range(4))
    assert windows.expire(2.0) == []
    assert windows.counts["announced"] == 1


def test_the_bundle_with_most_weight_alive_leads(manifests: list[Manifest]) -> None:
    old, new = manifests[:2]
    windows, handover = make(manifests)
    assert handover.leader.manifest.name == "old"
    online(windows, old, range(6))
    names = []
    for variant in range(6):
        windows.set_node(f"v{variant}", (new.short_digest, variant), 1.0)
        names.append(handover.leader.manifest.name)
    # Weights grow with the resolution: 16 + 24 + 32 pixels are less than half of all, with 40 they are more.
    assert names == ["old", "old", "old", "new", "new", "new"]


def test_a_frame_that_the_leading_bundle_has_no_vote_on_is_labelled_by_the_other(manifests: list[Manifest]) -> None:
    old, new = manifests[:2]
    windows, _ = make(manifests)
    online(windows, old, range(1))
    windows.announce("cam", announce(0), 1.0)
    # The only board has switched, but its status is not here yet.
    assert windows.vote("cam", FrameId(1, 0), 0, vote_for(new, 3), 1.01) == []
    due = windows.expire(1.0 + DEADLINE)
    assert [(d.family.manifest.name, d.winner) for d in due] == [("new", 3)]


def test_the_status_of_a_board_that_switched_releases_the_frame_at_once(manifests: list[Manifest]) -> None:
    old, new = manifests[:2]
    windows, _ = make(manifests)
    online(windows, old, range(1))
    windows.announce("cam", announce(0), 1.0)
    windows.vote("cam", FrameId(1, 0), 0, vote_for(new, 3), 1.01)
    due = windows.set_node("v0", (new.short_digest, 0), 1.02)
    assert [(d.family.manifest.name, d.winner) for d in due] == [("new", 3)]


def test_a_fourth_bundle_replaces_the_one_with_least_weight_alive_and_no_frame_is_lost(
    manifests: list[Manifest],
) -> None:
    windows, handover = make(manifests, known=3)
    online(windows, manifests[1], range(6))
    windows.announce("cam", announce(0), 1.0)
    windows.vote("cam", FrameId(1, 0), 0, vote_for(manifests[0], 1), 1.01)
    windows.vote("cam", FrameId(1, 0), 5, vote_for(manifests[2], 2), 1.01)
    due = windows.add_family(manifests[3], 1.02)
    assert [family.manifest.name for family in handover.families()] == ["new", "newer", "newest"]
    due += windows.expire(2.0)
    assert [d.winner for d in due] == [2]
    assert windows.counts["votes"] == 2


def test_without_families_there_is_no_leader(manifests: list[Manifest]) -> None:
    handover = Handover(suspect_after=3)
    with pytest.raises(LookupError):
        _ = handover.leader
    assert handover.add(manifests[0]) is None
    assert handover.leader.manifest is manifests[0]
    assert not handover.update_leader()


def test_the_leader_stays_until_another_has_more_weight_alive(manifests: list[Manifest]) -> None:
    old, new = manifests[:2]
    _, handover = make(manifests)
    handover.set_node("a", (new.short_digest, 0), 0.0)
    assert handover.leader.manifest is old, "until it is updated"
    assert handover.update_leader()
    assert not handover.update_leader()
    assert handover.leader.manifest is new
    handover.set_node("b", (old.short_digest, 0), 0.0)
    assert not handover.update_leader(), "as much weight is alive"
    handover.set_node("a", None, 0.0)
    assert handover.update_leader()
    assert handover.leader.manifest is old


def test_a_family_that_is_known_is_not_added_again(manifests: list[Manifest]) -> None:
    _, handover = make(manifests, known=3)
    handover.set_node("a", (manifests[0].short_digest, 0), 0.0)
    families = handover.families()
    assert handover.add(manifests[0]) is None
    assert handover.families() == families
    assert handover.leader.liveness.alive() == {0}


def test_the_variants_of_boards_that_do_not_run_the_leading_bundle_are_elsewhere(manifests: list[Manifest]) -> None:
    old, new = manifests[:2]
    _, handover = make(manifests)
    assert handover.elsewhere() == {}
    handover.set_node("a", (old.short_digest, 0), 0.0)
    handover.set_node("b", (new.short_digest, 3), 0.0)
    assert handover.elsewhere() == {3: new}


def test_a_status_tells_whether_a_variant_may_have_come_or_gone(manifests: list[Manifest]) -> None:
    place = (manifests[0].short_digest, 0)
    _, handover = make(manifests)
    assert not handover.set_node("a", None, 0.0)
    assert handover.set_node("a", place, 0.0)
    assert handover.set_node("a", place, 0.0)
    assert handover.leader.liveness.alive() == {0}, "a repeated status changes nothing"
    assert handover.set_node("a", None, 0.0)
    assert handover.leader.liveness.alive() == set()


def test_a_board_that_changes_its_bundle_is_gone_from_the_old_one(manifests: list[Manifest]) -> None:
    old, new = (manifest.short_digest for manifest in manifests[:2])
    _, handover = make(manifests)
    handover.set_node("a", (old, 0), 0.0)
    handover.set_node("a", (old, 2), 0.0)
    handover.set_node("a", (new, 2), 0.0)
    assert [family.liveness.alive() for family in handover.families()] == [set(), {2}]


def test_the_boards_of_a_bundle_that_was_removed_are_forgotten(manifests: list[Manifest]) -> None:
    _, handover = make(manifests, known=3)
    handover.set_node("a", (manifests[0].short_digest, 0), 0.0)
    handover.set_node("b", (manifests[1].short_digest, 1), 0.0)
    handover.set_node("c", (manifests[2].short_digest, 2), 0.0)
    assert handover.leader.manifest is manifests[0]
    removed = handover.add(manifests[3])
    assert removed is not None
    assert removed.manifest is manifests[1]
    assert handover.elsewhere() == {2: manifests[2]}
    assert not handover.set_node("b", None, 1.0)
    assert handover.set_node("c", None, 1.0)


def test_only_so_many_boards_are_remembered(manifests: list[Manifest]) -> None:
    _, handover = make(manifests)
    for number in range(5000):
        handover.set_node(f"v{number}", (manifests[0].short_digest, number % 6), 0.0)
    assert len(handover._nodes) == 4096


def test_a_flooding_variant_is_suspected_in_every_family(manifests: list[Manifest]) -> None:
    _, handover = make(manifests)
    for number, manifest in enumerate(manifests[:2]):
        handover.set_node(f"v{number}", (manifest.short_digest, 1), 0.0)
    handover.suspect(1)
    assert all(1 in family.liveness.suspected() for family in handover.families())


def test_the_share_of_variants_is_that_of_their_weights(manifests: list[Manifest]) -> None:
    family = make(manifests)[1].leader
    # Weights grow with the resolutions 16, 24, 32, 40, 48 and 56.
    assert family.share({0, 5}) == pytest.approx(72 / 216)
    assert family.share(set()) == 0
    assert family.share(set(range(6))) == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["announce", "vote", "switch", "gone", "expire"]),
        st.integers(0, 5),
        st.integers(0, 1),
        st.integers(0, 3),
        st.floats(0, 0.2),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_every_announced_frame_gets_one_result_in_order_whatever_the_boards_do(
    manifests: list[Manifest], steps: list[tuple[str, int, int, int, float]]
) -> None:
    windows, _ = make(manifests)
    now, sequence = 0.0, 0
    results = []
    for what, variant, which, choice, wait in steps:
        now += wait
        digest = manifests[which].short_digest
        results += windows.expire(now)
        if what == "announce":
            results += windows.announce("cam", announce(sequence), now)
            sequence += 1
        elif what == "vote":
            frame = FrameId(1, max(0, sequence - 1 - choice))
            results += windows.vote("cam", frame, variant, vote_for(manifests[which], choice), now)
        elif what == "switch":
            results += windows.set_node(f"v{variant}", (digest, variant), now)
        elif what == "gone":
            results += windows.set_node(f"v{variant}", None, now)
    results += windows.expire(now + 1)
    assert [o.announce.frame.sequence for o in results] == list(range(sequence))
    for result in results:
        assert {vote.digest for vote in result.votes.values()} <= {result.family.manifest.short_digest}
    assert windows.next_deadline() is None
