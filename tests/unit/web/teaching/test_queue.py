"""The queue: what stays, what goes, and what is the same."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.web.test_history import damage
from vp_mqtt.inference.picture_look import PictureLook
from vp_mqtt.web.database import RenewedError
from vp_mqtt.web.history.changes import StoredVote
from vp_mqtt.web.teaching.queue import FrameQueue, Place, Sight

VOTES = (StoredVote(0, "Coat", 0.9), StoredVote(1, "Bag", 0.6))


def look(number: int) -> PictureLook:
    """Return a hash that is near no other one."""
    return PictureLook(0, (number % 6 * 42, number // 6 % 6 * 42, number // 36 % 6 * 42))


def sight(number: int, score: float = 0.5, camera: str = "cam0") -> Sight:
    return Sight(camera, f"1-{number}", 1000.0 + number, "Coat", score, ("boards disagree",), VOTES)


def queue_in(folder: Path, frames: int = 5, megabytes: float = 10) -> FrameQueue:
    found = FrameQueue(folder / "queue.sqlite", frames=frames, megabytes=megabytes)
    found.open()
    return found


def test_frames_wait_over_a_restart_the_best_first(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    for number, score in enumerate([0.4, 0.9, 0.6]):
        assert queue.offer(sight(number, score), b"picture %d" % number, look(number))
    again = queue_in(tmp_path)
    assert [(one.frame, one.score, one.votes) for one in again.page(10)] == [
        ("1-1", 0.9, VOTES),
        ("1-2", 0.6, VOTES),
        ("1-0", 0.4, VOTES),
    ]
    assert again.picture(again.page(1)[0].number) == b"picture 1"
    assert not again.offer(sight(9), b"like one before", look(1))
    assert stat.S_IMODE((tmp_path / "queue.sqlite").stat().st_mode) == 0o600


def test_a_queue_with_damaged_pages_is_put_aside_when_it_is_opened_or_written(tmp_path: Path) -> None:
    queue = queue_in(tmp_path, frames=30)
    for number in range(20):
        queue.offer(sight(number), bytes(5000), look(number))
    damage(tmp_path / "queue.sqlite")
    again = queue_in(tmp_path)
    assert again.page(10) == []
    assert again.offer(sight(30), b"picture", look(30))
    for number in range(20):
        again.offer(sight(number), bytes(5000), look(number))
    damage(tmp_path / "queue.sqlite")
    assert again.offer(sight(40, 0.9), b"picture", look(40))
    assert [one.frame for one in again.page(10)] == ["1-40"]
    assert (tmp_path / "queue.damaged").exists()


def test_scenes_of_a_queue_that_was_put_aside_are_kept_again(tmp_path: Path) -> None:
    queue = queue_in(tmp_path, frames=30)
    for number in range(20):
        queue.offer(sight(number), bytes(5000), look(number))
    damage(tmp_path / "queue.sqlite")
    with pytest.raises(RenewedError):
        queue.page(10)
    assert queue.offer(sight(3), b"picture", look(3))


def test_what_was_looked_at_does_not_come_again_but_can_be_put_back(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    queue.offer(sight(0), b"one", look(0))
    [one] = queue.page(5)
    queue.put([one.number], Place.DISMISSED)
    assert (queue.page(5), queue.waiting(), queue.get(one.number)) == ([], 0, None)
    assert not queue.offer(sight(1), b"the same", look(0))
    assert queue.offer(sight(1, camera="cam1"), b"the same elsewhere", look(0))
    queue.put([one.number], Place.WAITING)
    assert queue.get(one.number) == one


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(1, 6))
def test_the_frames_that_are_worth_most_stay(scores: list[float], room: int) -> None:
    queue = FrameQueue(Path("queue.sqlite"), frames=room, megabytes=10)
    queue._database = _InMemory()  # type: ignore[assignment]
    queue.open()
    for number, score in enumerate(scores):
        queue.offer(sight(number, score), b"x", look(number))
    assert [one.score for one in queue.page(99)] == sorted(scores, reverse=True)[:room]


class _InMemory:
    """A database that needs no disk."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)

    def open(self) -> None:
        from vp_mqtt.web.teaching.queue import _SCHEMA  # noqa: PLC0415

        self._connection.executescript(_SCHEMA)

    def connected(self) -> sqlite3.Connection:
        return self._connection


def test_bytes_are_bounded_and_what_was_looked_at_goes_first(tmp_path: Path) -> None:
    queue = queue_in(tmp_path, frames=50, megabytes=1)
    for number in range(8):
        queue.offer(sight(number, 0.3), bytes(100_000), look(number))
    queue.put([one.number for one in queue.page(4)], Place.LABELLED)
    for number in range(8, 13):
        assert queue.offer(sight(number, 0.9), bytes(100_000), look(number))
    assert [one.score for one in queue.page(50)].count(0.9) == 5
    assert queue.waiting() == 9
    for number in range(13, 30):
        queue.offer(sight(number, 0.9), bytes(100_000), look(number))
    assert (tmp_path / "queue.sqlite").stat().st_size <= 1_200_000
    assert {one.score for one in queue.page(50)} == {0.9}


def test_a_full_disk_loses_new_frames_only_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = queue_in(tmp_path)
    queue.offer(sight(0), b"one", look(0))

    def fail(*_: object) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(queue, "_insert", fail)
        assert not queue.offer(sight(1), b"two", look(1))
    assert queue.problem == "database or disk is full"
    assert queue.waiting() == 1
    assert queue.offer(sight(1), b"two", look(1))
    assert queue.problem is None
