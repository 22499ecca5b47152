from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.nodes.camera_rests import MEAN_DELAY_S, CameraRests


def served(rests: CameraRests, camera: str, cost: float, now: float, *, has_vote: bool = True) -> float:
    """Let a camera have a frame worked on, as soon as it may; return when that ends."""
    ended = max(now, rests.rests_until(camera)) + cost
    rests.note(camera, cost, ended, has_vote=has_vote)
    return ended


@given(cost=st.floats(0.02, 5.0), has_vote=st.booleans())
def test_frames_that_take_long_delay_others_little_in_the_mean(cost: float, has_vote: bool) -> None:  # noqa: FBT001
    rests = CameraRests()
    now = served(rests, "quick", 0.005, 0.0)
    first = now = served(rests, "slow", cost, now, has_vote=has_vote)
    frames = 20
    for _ in range(frames):
        # The others continue meanwhile.
        rests.note("quick", 0.005, max(now, rests.rests_until("slow")), has_vote=True)
        now = served(rests, "slow", cost, now, has_vote=has_vote)
    share = frames * cost / (now - first)
    assert share * cost / 2 <= MEAN_DELAY_S * 1.001


@given(cost=st.floats(0.001, 10.0))
def test_a_camera_alone_never_rests(cost: float) -> None:
    rests = CameraRests()
    assert served(rests, "only", cost, 0.0) == cost
    assert rests.rests_until("only") <= cost


@given(costs=st.lists(st.floats(0.2, 0.4), min_size=2, max_size=20))
def test_on_a_slow_board_no_camera_rests(costs: list[float]) -> None:
    rests, now = CameraRests(), 0.0
    for number, cost in enumerate(costs):
        ended = served(rests, f"cam{number % 2}", cost, now)
        assert ended == pytest.approx(now + cost)
        now = ended


@given(cost=st.floats(0.001, 2 * MEAN_DELAY_S))
def test_quick_frames_never_rest(cost: float) -> None:
    rests = CameraRests()
    now = served(rests, "other", 0.001, 0.0)
    served(rests, "cam", cost, now)
    assert rests.rests_until("cam") == pytest.approx(now + cost)


def test_new_names_share_one_rest_until_they_have_a_vote() -> None:
    rests = CameraRests()
    now = served(rests, "known", 0.01, 0.0)
    rests.note("invented", 0.5, now, has_vote=False)
    assert rests.rests_until("another") == pytest.approx(now + 4.5)
    assert rests.rests_until("known") <= now


def test_a_camera_with_a_vote_has_a_rest_of_its_own() -> None:
    rests = CameraRests()
    now = served(rests, "known", 0.01, 0.0)
    now = served(rests, "new", 0.01, now)
    rests.note("invented", 0.5, now, has_vote=False)
    assert rests.rests_until("new") <= now


def test_frames_without_a_vote_do_not_make_others_look_slow() -> None:
    rests = CameraRests()
    rests.note("garbage", 0.000_1, 0.0, has_vote=False)
    assert rests.rests_until("cam") <= 0.0
    rests.note("cam", 0.3, 1.0, has_vote=True)
    assert rests.rests_until("cam") <= 1.0


def test_others_that_stopped_long_ago_make_nobody_rest() -> None:
    rests = CameraRests()
    served(rests, "gone", 0.01, 0.0)
    rests.note("cam", 0.3, 20.0, has_vote=True)
    assert rests.rests_until("cam") <= 20.0


def test_cameras_that_are_remembered_are_bounded() -> None:
    rests = CameraRests()
    for number in range(1100):
        rests.note(f"cam{number}", 0.01, 0.0, has_vote=True)
    rests.note("slow", 0.3, 1.0, has_vote=True)
    assert rests.rests_until("slow") > 1.0
    assert rests.rests_until("cam0") == rests.rests_until("a new one")
