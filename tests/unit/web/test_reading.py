"""What the page takes from the network, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.labels import label, state_message
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.mqtt.message import Received
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.protocol import votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage
from vp_mqtt.protocol.votes import Vote
from vp_mqtt.web.history.changes import describe
from vp_mqtt.web.reading import Changed, check_picture, read, subscriptions

FRAME = FrameId(42, 123456)
PICTURE = encode_jpeg(np.zeros((8, 8, 3), np.uint8), 90)
VOTE = votes.encode(Vote((3,), (0.9,), b"\0\0\0\x2a"))
CAMERA = "vp/home/camera/cam0"
STATE = state_message()


def take(
    view: SiteView, kind: str, payload: bytes, correlation: bytes | None = FRAME.encode(), *, retained: bool = False
) -> Changed | None:
    message = Received(f"{CAMERA}/{kind}", payload, correlation, 1.0, retained)
    return read(view, message, wall_time=1000.0, max_frame_bytes=100_000)


def test_a_frame_its_announce_vote_and_label_find_each_other() -> None:
    view = SiteView("home", now=0.0)
    take(view, "frame", PICTURE)
    take(view, "announce", AnnounceMessage(frame=str(FRAME), captured=1000.0).encode())
    take(view, "vote/0", VOTE)
    take(view, "label", label("Coat").encode())
    seen = view.frames("cam0").shown()
    assert seen is not None
    assert (seen.frame, seen.picture, set(seen.votes)) == (str(FRAME), PICTURE, {0})
    assert seen.label is not None


def test_a_state_is_a_change_once() -> None:
    view = SiteView("home", now=0.0)
    assert take(view, "state", STATE.encode(), retained=True) == Changed(STATE, retained=True, at=1.0)
    assert take(view, "state", STATE.model_copy(update={"published": 1030.0}).encode()) is None


def test_a_change_has_the_picture_whose_label_made_it() -> None:
    view = SiteView("home", now=0.0)
    for number, at in enumerate((1.0, 2.0, 3.0)):
        frame, its = FrameId(7, number), f"{CAMERA}/frame"
        read(view, Received(its, PICTURE, frame.encode(), at), wall_time=1000.0, max_frame_bytes=100_000)
        said = label("Coat").model_copy(update={"frame": str(frame)})
        view.note_label(view.overview.note_label(said, at, 1000.0 + at))
    state = state_message("Coat")
    found = view.frames("cam0").picture_of("Coat", 2.5)
    assert found is not None
    assert found.frame == str(FrameId(7, 1))
    assert describe(view, state, retained=False, arrived=2.5, now=4.0).picture == PICTURE


def test_snapshots_are_kept_in_bounded_number() -> None:
    view = SiteView("home", now=0.0)
    for number in range(40):
        message = Received(f"vp/home/camera/cam{number}/snapshot", PICTURE, None, 1.0)
        read(view, message, wall_time=1000.0, max_frame_bytes=100_000)
    assert view.snapshots.get("cam0") is None
    newest = view.snapshots.get("cam39")
    assert newest is not None
    assert (newest.picture, newest.number) == (PICTURE, 40)
    assert sum(view.snapshots.get(f"cam{number}") is not None for number in range(40)) == 16


@pytest.mark.parametrize("kind", ["frame", "announce", "vote/0", "label", "snapshot"])
def test_what_is_about_now_is_not_retained(kind: str) -> None:
    with pytest.raises(ValueError, match="retained"):
        take(SiteView("home", now=0.0), kind, PICTURE, retained=True)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (b"", "not a JPEG"),
        (b"<svg onload='alert(1)'/>", "not a JPEG"),
        (PICTURE[:20], "not a JPEG"),
        (PICTURE + bytes(100_000), "too large"),
    ],
)
def test_only_pictures_that_browsers_show_are_kept(picture: bytes, reason: str) -> None:
    view = SiteView("home", now=0.0)
    with pytest.raises(ValueError, match=reason):
        take(view, "frame", picture)
    assert view.frames("cam0").shown() is None


def test_a_picture_that_claims_to_be_huge_is_refused() -> None:
    start = PICTURE.index(b"\xff\xc0")
    huge = PICTURE[: start + 5] + b"\xff\xff\xff\xff" + PICTURE[start + 9 :]
    with pytest.raises(ValueError, match="too many pixels"):
        check_picture(huge, 100_000)


@pytest.mark.parametrize("kind", ["frame", "vote/0"])
def test_without_a_frame_id_nothing_is_known_of_it(kind: str) -> None:
    payload = PICTURE if kind == "frame" else VOTE
    with pytest.raises(ValueError, match="frame id"):
        take(SiteView("home", now=0.0), kind, payload, None)


@given(st.sampled_from(["frame", "announce", "vote/0", "vote/9999", "label", "state", "odd"]), st.binary(max_size=200))
def test_garbage_is_refused_with_a_reason_and_changes_nothing(kind: str, payload: bytes) -> None:
    view = SiteView("home", now=0.0)
    if kind == "state" and not payload:
        assert take(view, kind, payload) is None
        return
    with pytest.raises(ValueError, match=r"\S"):
        take(view, kind, payload)
    assert view.cameras(1.0) == []


def test_nothing_of_other_sites_is_subscribed_to() -> None:
    topics = [subscription[0] for subscription in subscriptions("home")]
    assert all(topic.startswith("vp/home/") for topic in topics)
