"""Two bundles at one site: what a label is made of while boards go from one to the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
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


def ballot(manifest: Manifest, winner: int) -> Vote:
    return Vote(np.array([winner, (winner + 1) % 4]), np.array([0.9, 0.05]), manifest.short_digest)


def announce(sequence: int) -> Announce:
    return Announce(FrameId(1, sequence), 0.0, None)


def test_votes_of_another_bundle_are_not_added_up(manifests: list[Manifest]) -> None:
    old, new = manifests[:2]
    windows, _ = make(manifests)
    online(windows, old, range(4))
    online(windows, new, range(4, 6))
    assert windows.announce("cam", announce(0), 1.0) == []
    due = [outcome for v in (4, 5) for outcome in windows.vote("cam", FrameId(1, 0), v, ballot(new, 2), 1.01)]
    assert due == []
    due = [outcome for v in range(4) for outcome in windows.vote("cam", FrameId(1, 0), v, ballot(old, 1), 1.02)]
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
    assert windows.vote("cam", FrameId(1, 0), 0, ballot(new, 3), 1.01) == []
    due = windows.expire(1.0 + DEADLINE)
    assert [(d.family.manifest.name, d.winner) for d in due] == [("new", 3)]


def test_the_status_of_a_board_that_switched_frees_the_frame_at_once(manifests: list[Manifest]) -> None:
    old, new = manifests[:2]
    windows, _ = make(manifests)
    online(windows, old, range(1))
    windows.announce("cam", announce(0), 1.0)
    windows.vote("cam", FrameId(1, 0), 0, ballot(new, 3), 1.01)
    due = windows.set_node("v0", (new.short_digest, 0), 1.02)
    assert [(d.family.manifest.name, d.winner) for d in due] == [("new", 3)]


def test_a_fourth_bundle_takes_the_place_of_the_one_with_least_alive_and_no_frame_is_lost(
    manifests: list[Manifest],
) -> None:
    windows, handover = make(manifests, known=3)
    online(windows, manifests[1], range(6))
    windows.announce("cam", announce(0), 1.0)
    windows.vote("cam", FrameId(1, 0), 0, ballot(manifests[0], 1), 1.01)
    windows.vote("cam", FrameId(1, 0), 5, ballot(manifests[2], 2), 1.01)
    due = windows.add_family(manifests[3], 1.02)
    assert [family.manifest.name for family in handover.families()] == ["new", "newer", "newest"]
    due += windows.expire(2.0)
    assert [d.winner for d in due] == [2]
    assert windows.counts["votes"] == 2


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


@given(STEPS)
def test_every_announced_frame_gets_one_outcome_in_order_whatever_the_boards_do(
    manifests: list[Manifest], steps: list[tuple[str, int, int, int, float]]
) -> None:
    windows, _ = make(manifests)
    now, sequence = 0.0, 0
    outcomes = []
    for what, variant, which, choice, wait in steps:
        now += wait
        digest = manifests[which].short_digest
        outcomes += windows.expire(now)
        if what == "announce":
            outcomes += windows.announce("cam", announce(sequence), now)
            sequence += 1
        elif what == "vote":
            frame = FrameId(1, max(0, sequence - 1 - choice))
            outcomes += windows.vote("cam", frame, variant, ballot(manifests[which], choice), now)
        elif what == "switch":
            outcomes += windows.set_node(f"v{variant}", (digest, variant), now)
        elif what == "gone":
            outcomes += windows.set_node(f"v{variant}", None, now)
    outcomes += windows.expire(now + 1)
    assert [o.announce.frame.sequence for o in outcomes] == list(range(sequence))
    for outcome in outcomes:
        assert {vote.digest for vote in outcome.votes.values()} <= {outcome.family.manifest.short_digest}
    assert windows.next_deadline() is None
