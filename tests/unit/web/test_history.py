"""The history: what is kept, what is found again, and how it stays small."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from vp_mqtt.errors import UserError
from vp_mqtt.web.database import Database, RenewedError
from vp_mqtt.web.history.changes import StateChange, StoredVote
from vp_mqtt.web.history.store import Filter, History

DAY_S = 86_400.0
NOW = 1_800_000_000.0
AGREED = (StoredVote(0, "Coat", 0.9), StoredVote(1, "Coat", 0.8))
DISPUTED = (StoredVote(0, "Coat", 0.9), StoredVote(1, "Bag", 0.6))


@pytest.fixture
def history(tmp_path: Path) -> History:
    found = History(tmp_path / "deep" / "home.sqlite", days=7, megabytes=1)
    found.open()
    return found


def change(number: int, label: str | None = "Coat", camera: str = "cam0", **more: object) -> StateChange:
    fields = {"previous": None, "confidence": 0.9, "reason": "labels", "bundle": "things", **more}
    return StateChange(camera=camera, since=NOW + number, label=label, **fields)  # type: ignore[arg-type]


def test_what_was_kept_is_found_again_newest_first(history: History) -> None:
    history.add(change(1, votes=AGREED, picture=b"\xff\xd8one"), NOW)
    history.add(change(2, None, previous="Coat", confidence=None, reason="timeout"), NOW)
    second, first = history.page(Filter())
    assert (second.change.label, second.change.previous, second.has_picture) == (None, "Coat", False)
    assert first.change == change(1, votes=AGREED)
    assert history.picture(first.number) == b"\xff\xd8one"
    assert history.picture(second.number) is None
    assert history.picture(99) is None


def test_a_change_that_the_broker_delivers_again_is_kept_once_with_its_picture(history: History) -> None:
    history.add(change(1, picture=b"\xff\xd8one"), NOW)
    history.add(change(1), NOW + 5)
    assert [entry.has_picture for entry in history.page(Filter())] == [True]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [5, 4, 3, 2, 1]),
        (Filter(camera="cam1"), [4]),
        (Filter(label="Bag"), [5, 2]),
        (Filter(is_unknown=True), [3]),
        (Filter(is_disputed=True), [5, 1]),
        (Filter(label="Bag", is_disputed=True), [5]),
        (Filter(camera="cam0' OR 1=1 --"), []),
    ],
)
def test_changes_are_filtered(history: History, wanted: Filter, found: list[int]) -> None:
    history.add(change(1, votes=DISPUTED), NOW)
    history.add(change(2, "Bag"), NOW)
    history.add(change(3, None), NOW)
    history.add(change(4, camera="cam1", votes=AGREED), NOW)
    history.add(change(5, "Bag", votes=DISPUTED), NOW)
    assert [round(entry.change.since - NOW) for entry in history.page(wanted)] == found


def test_pages_follow_each_other_without_gap_or_repetition(history: History) -> None:
    for number in range(10):
        history.add(change(number), NOW)
    seen: list[int] = []
    before = None
    while page := history.page(Filter(), before, size=4):
        seen += [entry.number for entry in page]
        before = page[-1].number
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 10


def test_names_to_choose_from_are_those_in_the_history(history: History) -> None:
    for number, (label, camera) in enumerate([("Coat", "cam1"), (None, "cam0"), ("Bag", "cam1")]):
        history.add(change(number, label, camera), NOW)
    assert history.cameras() == ["cam0", "cam1"]
    assert history.labels() == ["Bag", "Coat"]


def test_what_is_too_old_goes(history: History) -> None:
    history.add(change(1), NOW)
    history.add(change(2), NOW + 6 * DAY_S)
    history.prune(NOW + 8 * DAY_S)
    assert [entry.change.since for entry in history.page(Filter())] == [NOW + 2]


def test_the_oldest_go_when_there_is_too_much_and_the_file_shrinks(history: History, tmp_path: Path) -> None:
    for number in range(60):
        history.add(change(number, picture=bytes(50_000)), NOW + number)
    history.prune(NOW + 60)
    kept = [round(entry.change.since - NOW) for entry in history.page(Filter(), size=100)]
    assert kept == list(range(59, 59 - len(kept), -1))
    assert 10 <= len(kept) <= 20
    with sqlite3.connect(tmp_path / "deep" / "home.sqlite") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / "deep" / "home.sqlite").stat().st_size <= 1_100_000


def test_pictures_are_nobody_elses_business(history: History, tmp_path: Path) -> None:
    history.add(change(1), NOW)
    for path in (tmp_path / "deep", *(tmp_path / "deep").iterdir()):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "home.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    history = History(path, days=7, megabytes=1)
    history.open()
    history.add(change(1), NOW)
    assert len(history.page(Filter())) == 1
    assert (tmp_path / "home.damaged").exists()


def damage(path: Path) -> None:
    """Overwrite all pages of a database but the first, as a power cut may leave them."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = database.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek(page)
        file.write(b"\xa5" * (path.stat().st_size - page))


def test_a_file_with_damaged_pages_is_put_aside_when_one_is_read_and_the_change_is_kept(
    history: History, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        history.add(change(number, picture=bytes(5000)), NOW + number)
    damage(tmp_path / "deep" / "home.sqlite")
    again = History(tmp_path / "deep" / "home.sqlite", days=7, megabytes=1)
    again.open()
    again.add(change(30), NOW + 30)
    assert [entry.change.since for entry in again.page(Filter())] == [NOW + 30]
    assert again.problem is None
    assert (tmp_path / "deep" / "home.damaged").exists()
    assert ["is damaged" in message for message in caplog.messages] == [True]


def test_a_damaged_file_that_cannot_be_put_aside_is_a_problem_and_no_fault(history: History, tmp_path: Path) -> None:
    for number in range(20):
        history.add(change(number, picture=bytes(5000)), NOW + number)
    damage(tmp_path / "deep" / "home.sqlite")
    (tmp_path / "deep" / "home.damaged").mkdir()
    history.add(change(30), NOW + 30)
    assert "cannot be put aside" in str(history.problem)
    history.prune(NOW)
    with pytest.raises(sqlite3.Error):
        history.page(Filter())


def test_a_damaged_file_is_put_aside_once_however_many_find_out(history: History, tmp_path: Path) -> None:
    for number in range(20):
        history.add(change(number, picture=bytes(5000)), NOW + number)
    database = Database(tmp_path / "deep" / "home.sqlite", "", 1, "history", "--history")
    damage(database.path)

    def read_twice() -> None:
        with database.connected() as first:
            with pytest.raises(RenewedError):
                history.page(Filter())
            history.add(change(30), NOW + 30)
            first.execute("SELECT * FROM changes").fetchall()

    with pytest.raises(RenewedError):
        read_twice()
    assert [entry.change.since for entry in history.page(Filter())] == [NOW + 30]


def test_a_history_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "home.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="another version"):
        History(path, days=7, megabytes=1).open()


@pytest.mark.parametrize("make", [lambda path: path.write_text("a file"), lambda path: path.mkdir()])
def test_a_place_that_cannot_be_used_is_reported(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x")
    place = tmp_path / "x" / "home.sqlite" if (tmp_path / "x").is_file() else tmp_path / "x"
    with pytest.raises(UserError, match="--history"):
        History(place, days=7, megabytes=1).open()


def test_a_change_that_cannot_be_written_is_said_and_the_next_one_is_tried(history: History, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "home.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE changes RENAME TO hidden")
    history.add(change(1), NOW)
    said = history.problem
    assert said is not None
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE hidden RENAME TO changes")
    history.add(change(2), NOW)
    assert [entry.change.since for entry in history.page(Filter())] == [NOW + 2]
    assert not history.problem
