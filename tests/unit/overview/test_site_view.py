from __future__ import annotations

import pytest

from tests.support.labels import label
from tests.unit.overview.test_site_overview import status
from vp_mqtt.overview.activity import Outcome
from vp_mqtt.overview.site_view import STRIP_FRAMES, SiteView
from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import LabelMessage, State, StatsMessage
from vp_mqtt.protocol.votes import Vote

FRAME = "0000002a-123456"
NOW = 1.0
DIGEST = "0000002a"


def vote(index: int, probability: float = 0.9, digest: str = DIGEST) -> Vote:
    return Vote((index,), (probability,), bytes.fromhex(digest))


def viewed(message: LabelMessage, now: float = 10.0, **votes: int) -> SiteView:
    """Return a view of a frame with votes, as variant_0=3, and its label."""
    view = SiteView("home", now=0.0, known_classes={DIGEST: ["Shirt", "Bag", "Shoe", "Coat"]})
    view.note_announce("cam0", message.frame, now - 0.05)
    for name, index in votes.items():
        view.note_vote("cam0", message.frame, int(name.removeprefix("variant_")), vote(index), now - 0.01)
    view.note_label(view.overview.note_label(message, now, 1000.0))
    return view


def test_each_board_of_the_family_is_listed_with_what_became_of_its_vote() -> None:
    message = label("Coat").model_copy(
        update={"closed_by": ClosedBy.DEADLINE, "missing": (2, 4), "alive": (0, 1, 2, 3)}
    )
    view = viewed(message, variant_0=3, variant_1=1, variant_3=3)
    view.overview.note_status(status("variant", "pi", variant=0), retained=False, now=10.0)
    seen = view.frames("cam0").labelled()
    assert seen is not None
    found = view.votes(seen, 10.0)
    assert [(one.variant, one.outcome, one.agrees) for one in found] == [
        (0, Outcome.VOTED, True),
        (1, Outcome.VOTED, False),
        (2, Outcome.LATE, None),
        (3, Outcome.VOTED, True),
        (4, Outcome.AWAY, None),
    ]
    [(name, probability)] = found[0].top
    assert name == "Coat"
    assert probability == pytest.approx(0.9)
    assert found[0].node is not None
    assert found[0].node.status.node == "pi"


def test_a_late_vote_says_by_how_much() -> None:
    view = viewed(label("Coat"), variant_0=3)
    view.note_vote("cam0", FRAME, 2, vote(3), 10.04)
    seen = view.frames("cam0").labelled()
    assert seen is not None
    late = next(one for one in view.votes(seen, 10.1) if one.variant == 2)
    assert late.late_ms == pytest.approx(40.0)


def test_class_names_of_a_bundle_that_is_not_known_are_learnt_from_labels() -> None:
    view = SiteView("home", now=0.0)
    view.note_announce("cam0", FRAME, 1.0)
    view.note_vote("cam0", FRAME, 0, vote(3, digest="11223344"), 1.01)
    view.note_vote("cam0", FRAME, 1, vote(5, digest="11223344"), 1.01)
    message = label("Coat").model_copy(update={"digest": "11223344"})
    view.note_label(view.overview.note_label(message, 1.02, 1000.0))
    seen = view.frames("cam0").labelled()
    assert seen is not None
    assert [one.top[0][0] for one in view.votes(seen, 1.1) if one.top] == ["Coat", "class 5"]


def test_the_strip_shows_the_newest_frames_and_a_board_that_dies() -> None:
    view = SiteView("home", now=0.0)
    for number in range(STRIP_FRAMES - 10):
        is_dead = number >= 30
        change = {"voted": (1,), "missing": (0,), "alive": (1,)} if is_dead else {"voted": (0, 1), "missing": ()}
        view.note_label(view.overview.note_label(label("Coat").model_copy(update=change), float(number), 1000.0))
    strip = view.strip(0)
    assert strip == [None] * 10 + [Outcome.VOTED] * 30 + [Outcome.AWAY] * 20


def test_response_times_are_medians_of_periods_and_gaps_are_none() -> None:
    view = SiteView("home", now=0.0)
    for number in range(40):
        now = number * 0.1 if number < 20 else 8.0 + number * 0.1
        view.note_announce("cam0", f"00000001-{number}", now)
        view.note_vote("cam0", f"00000001-{number}", 0, vote(0), now + 0.02)
    ages, rows = view.series.table(14.0)
    assert len(ages) == len(rows[0])
    assert rows[0][-1] is None
    assert [ms for ms in rows[0] if ms is not None] == [pytest.approx(20.0)] * 2


def test_pictures_of_all_cameras_together_are_bounded() -> None:
    view = SiteView("home", now=0.0, max_picture_bytes=1000)
    for number in range(30):
        view.note_picture(f"cam{number % 3}", f"00000001-{number}", bytes(120), 0.0)
    assert sum(view.frames(name).picture_bytes for name in view.cameras(0.0)) <= 1000
    view.note_picture("cam0", "00000001-99", bytes(1001), 0.0)
    assert view.frames("cam0").get("00000001-99") is None


def test_only_so_many_cameras_are_remembered() -> None:
    view = SiteView("home", now=0.0)
    for number in range(500):
        view.note_announce(f"cam{number}", FRAME, 1.0)
    assert len(view.cameras(1.0)) == 64


def test_regions_are_told_from_whole_pictures() -> None:
    view = SiteView("home", now=0.0)
    node = status("camera", camera="cam0", regions=("cam0.door", "cam0.gate"))
    view.overview.note_status(node, retained=False, now=1.0)
    assert view.cameras(1.0) == ["cam0.door", "cam0.gate"]
    assert view.whole("cam0.door", 1.0) == "cam0"
    assert view.whole("cam0", 1.0) is None


def test_regions_that_their_node_has_no_more_are_gone() -> None:
    view = SiteView("home", now=NOW)
    for camera in ("cam0", "cam0.door", "cam0.bin", "cam1.x"):
        view.note_picture(camera, FRAME, b"jpeg", NOW)
    view.overview.note_status(status("camera", "c", camera="cam0", regions=("cam0.door",)), retained=False, now=NOW)
    assert view.cameras(NOW) == ["cam0.door", "cam1.x"]
    view.overview.note_status(status("camera", "c", camera="cam0"), retained=False, now=NOW)
    assert view.cameras(NOW) == ["cam0", "cam1.x"]
    assert view.whole("cam0", NOW) is None


def test_a_camera_is_live_while_its_pictures_come_or_its_node_says_that_nothing_moves() -> None:
    view = SiteView("home", now=0.0)
    assert not view.is_live("cam0", 0.0)
    view.note_picture("cam0", FRAME, b"jpeg", 1.0)
    # Nothing is known of its node: an account may not read statuses.
    assert [view.is_live("cam0", now) for now in (1.0, 5.0, 7.0)] == [True, True, False]

    def says(now: float, **more: object) -> None:
        view.overview.note_status(status("camera", camera="cam0", **more), retained=False, now=now)  # type: ignore[arg-type]

    says(2.0)
    assert [view.is_live("cam0", now) for now in (3.0, 7.0)] == [True, False]
    says(7.0, still=("cam0",))
    assert view.is_live("cam0", 8.0)
    assert not view.is_live("cam0", 60.0), "it is silent"
    # One that takes a picture every 10 s is not expected to be quicker.
    says(60.0)
    for uptime, frames in ((10.0, 1), (30.0, 3)):
        stats = StatsMessage(node="camera", uptime_s=uptime, counts={"frames": frames})
        view.overview.note_stats(stats, retained=False, now=60.0)
    view.note_picture("cam0", FRAME, b"jpeg", 45.0)
    assert view.is_live("cam0", 61.0)
    says(62.0, state=State.OFFLINE)
    assert not view.is_live("cam0", 62.0)


def test_a_slow_camera_is_live_as_long_as_its_pauses_let_it_be() -> None:
    view = SiteView("home", now=0.0)
    for now in (0.0, 60.0, 120.0):
        view.note_picture("cam0", FRAME, b"jpeg", now)
    assert [view.is_live("cam0", now) for now in (121.0, 150.0, 301.0)] == [True, True, False]


def test_a_camera_is_its_own_node_s_whatever_another_calls_its_regions() -> None:
    view = SiteView("home", now=0.0)
    for name, camera, regions in (("camera-evil", "evil", ("front",)), ("camera-front", "front", ())):
        one = status("camera", name, camera=camera, regions=regions)
        view.overview.note_status(one, retained=False, now=0.0)
    node = view.camera_node("front", 1.0)
    assert node is not None
    assert node.status.node == "camera-front"
    assert view.whole("front", 1.0) is None
