"""When the states of the cameras are published, and what of the broker's is believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support.fusing import manifest
from vp_mqtt.fusion.camera_states import CameraStates
from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.label import make_label
from vp_mqtt.fusion.state import StateRules
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.messages import MessageError, StateMessage, StateReason
from vp_mqtt.protocol.votes import Vote

FAMILY = Family(manifest((1.0, 2.0, 1.0), 4), suspect_after=3)
CLASSES = FAMILY.manifest.classes
RULES = StateRules(labels=2, window=3, hysteresis=1, dwell=0.5, timeout=20.0)
EVERY = 30.0
NOW, WALL = 100.0, 5000.0
KEPT = StateMessage(
    camera="cam0",
    label="class 1",
    since=WALL - 1000,
    previous="class 3",
    confidence=0.75,
    agreeing=(2,),
    reason=StateReason.LABELS,
    published=WALL - 20,
    valid_for_s=90.0,
    bundle="tiny",
)


def result(votes: Mapping[int, int], camera: str = "cam0") -> WindowResult:
    """Return the result of a frame, from each variant's class."""
    cast = {v: Vote((one,), (0.8,), FAMILY.digest) for v, one in votes.items()}
    classes = list(votes.values())
    winner = max(set(classes), key=classes.count) if classes else None
    announce = Announce(FrameId(1, 1), 1.0, None)
    reason = ClosedBy.COMPLETE if votes else ClosedBy.DEADLINE
    return WindowResult(camera, announce, FAMILY, 0.0, 0.0, cast, (0, 1, 2), winner, 0.25 if classes else None, reason)


class Site:
    """States, and a clock."""

    def __init__(self) -> None:
        self.states = CameraStates(RULES, every=EVERY)
        self.passed = 0.0

    def label(self, votes: Mapping[int, int], camera: str = "cam0", valid_for_s: float = 5.0) -> list[StateMessage]:
        closed = result(votes, camera)
        message = make_label(closed, valid_for_s=valid_for_s)
        self.states.note(closed, message, NOW + self.passed, WALL + self.passed)
        return self.due()

    def due(self) -> list[StateMessage]:
        return self.states.messages_due(NOW + self.passed, WALL + self.passed)

    def wait(self, seconds: float) -> list[StateMessage]:
        until, found = self.passed + seconds, list[StateMessage]()
        while (due := self.states.next_due()) is not None and due <= NOW + until:
            self.passed = max(self.passed, due - NOW)
            found += self.due()
        self.passed = until
        return found


ALL_SAY_ONE = {0: 1, 1: 1, 2: 1}


def test_a_state_is_published_once_when_it_is_decided_and_then_every_so_often_with_the_same_content() -> None:
    site = Site()
    assert site.label(ALL_SAY_ONE) == []
    (state,) = site.label({0: 1, 1: 1, 2: 3})
    assert state == StateMessage(
        camera="cam0",
        label="class 1",
        since=WALL,
        previous=None,
        confidence=state.confidence,
        agreeing=(0, 1, 2),
        reason=StateReason.LABELS,
        published=WALL,
        valid_for_s=90.0,
        bundle="tiny",
    )
    assert state.confidence is not None
    assert StateMessage.decode(state.encode()) == state
    for _ in range(200):
        site.wait(0.1)
        assert site.label(ALL_SAY_ONE) == []
    repeated = site.wait(11)
    assert [one.model_copy(update={"published": WALL}) for one in repeated] == [state]
    assert repeated[0].published == WALL + 30


def test_frames_without_votes_say_nothing_and_silence_times_out() -> None:
    site = Site()
    for _ in range(2):
        site.label(ALL_SAY_ONE)
    changes = []
    for _ in range(30):
        changes += site.wait(1)
        changes += site.label({})
    assert [(one.label, one.reason, one.previous) for one in changes] == [(None, StateReason.TIMEOUT, "class 1")]
    # A state that comes back after a time-out is a new one.
    site.label(ALL_SAY_ONE)
    (back,) = site.label(ALL_SAY_ONE)
    assert (back.label, back.since, back.previous) == ("class 1", WALL + 30, None)


def test_every_change_is_published_even_two_at_once() -> None:
    states = CameraStates(StateRules(labels=1, window=1, hysteresis=0, dwell=0.0, timeout=5.0), every=EVERY)
    site = Site()
    site.states = states
    (first,) = site.label(ALL_SAY_ONE)
    site.passed += 7
    found = site.label(ALL_SAY_ONE) + site.due()
    assert [one.label for one in (first, *found)] == ["class 1", None, "class 1"]


def test_states_of_cameras_are_apart_and_all_are_repeated_after_a_reconnection() -> None:
    site = Site()
    for camera, voted in (("cam0", 1), ("door", 2)):
        for _ in range(2):
            site.label({0: voted}, camera)
    site.label({0: 0}, "new")
    site.states.repeat(NOW)
    assert [(one.camera, one.label) for one in site.due()] == [("cam0", "class 1"), ("door", "class 2")]


def test_a_camera_that_is_gone_is_forgotten_so_that_its_state_expires() -> None:
    site = Site()
    for _ in range(2):
        site.label(ALL_SAY_ONE)
    assert site.states.next_due() is not None
    found = site.wait(2000)
    assert {one.label for one in found} == {None}
    assert found[-1].published < WALL + 700
    assert site.states.next_due() is None


@pytest.mark.parametrize("valid_for_s", [60.0, 750.0, 3600.0])
def test_a_state_whose_labels_are_valid_for_long_times_out_before_its_camera_is_forgotten(valid_for_s: float) -> None:
    site = Site()
    for _ in range(2):
        site.label(ALL_SAY_ONE, valid_for_s=valid_for_s)
    found = site.wait(4 * valid_for_s + 2000)
    unknown = [one for one in found if one.label is None]
    assert unknown[0].reason is StateReason.TIMEOUT
    assert unknown[0].since == WALL + valid_for_s
    # Said often enough to be heard, and not for ever.
    assert unknown[-1].published == pytest.approx(WALL + max(600, 2 * valid_for_s), abs=EVERY)
    assert site.states.next_due() is None


def test_a_camera_with_a_frame_in_a_quarter_of_an_hour_has_a_state() -> None:
    site = Site()
    found = []
    for _ in range(4):
        found += site.label(ALL_SAY_ONE, valid_for_s=2.5 * 900)
        found += site.wait(900)
    assert {one.label for one in found} == {"class 1"}
    assert found[0].since == WALL + 900


def test_a_longer_time_out_set_while_a_camera_is_silent_is_waited_for() -> None:
    site = Site()
    for _ in range(2):
        site.label(ALL_SAY_ONE)
    site.states.set_rules(replace(RULES, timeout=2000.0))
    found = site.wait(5000)
    assert [one.since for one in found if one.label is None][:1] == [WALL + 2000]


def test_the_same_state_after_a_restart_is_no_change() -> None:
    site = Site()
    site.states.restore("cam0", KEPT.encode(), CLASSES, WALL)
    assert site.label(ALL_SAY_ONE) == []
    (state,) = site.label(ALL_SAY_ONE)
    assert state == KEPT.model_copy(update={"published": WALL})


def test_another_state_after_a_restart_is_a_change_and_what_was_kept_alone_is_never_published() -> None:
    site = Site()
    site.states.restore("cam0", KEPT.encode(), CLASSES, WALL)
    assert site.wait(100) == []
    for _ in range(2):
        found = site.label({0: 2})
    assert [(one.label, one.previous, one.since) for one in found] == [("class 2", "class 1", WALL + 100)]


@pytest.mark.parametrize("voted", [1, 2])
def test_what_was_kept_is_not_continued_once_it_is_out_of_date(voted: int) -> None:
    site = Site()
    site.states.restore("cam0", KEPT.encode(), CLASSES, WALL)
    assert site.wait(1000) == []
    for _ in range(2):
        found = site.label({0: voted})
    assert [(one.label, one.previous, one.since) for one in found] == [(f"class {voted}", None, WALL + 1000)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"camera": "door"}, "another camera"),
        ({"label": "class 9"}, "class of another bundle"),
        ({"since": WALL + 1e6, "published": WALL + 1e6}, "from the future"),
        ({"since": WALL - 5}, "from the future"),
        ({"published": WALL - 200}, "out of date"),
        ({"published": WALL - 200, "valid_for_s": 1e9}, "out of date"),
        ({"since": math.nan}, "since"),
    ],
)
def test_what_cannot_be_a_state_of_this_site_is_refused(change: dict[str, object], reason: str) -> None:
    site = Site()
    with pytest.raises(MessageError, match=reason):
        site.states.restore("cam0", KEPT.model_copy(update=change).encode(), CLASSES, WALL)
    for _ in range(2):
        found = site.label(ALL_SAY_ONE)
    assert [one.since for one in found] == [WALL]


def test_only_so_many_kept_states_are_remembered() -> None:
    site = Site()
    for number in range(2000):
        name = f"cam{number}"
        site.states.restore(name, KEPT.model_copy(update={"camera": name}).encode(), CLASSES, WALL)
    for _ in range(2):
        found = site.label(ALL_SAY_ONE, "cam1999")
    assert [state.since for state in found] == [WALL]
