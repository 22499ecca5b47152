"""Frames that wait for a look, on disk: those that are worth most stay."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vp_mqtt.inference.picture_look import PictureLook
from vp_mqtt.logs import LOGGER
from vp_mqtt.web.database import Database, RenewedError, give_back, used_bytes
from vp_mqtt.web.history.changes import StoredVote

_MB = 1_000_000
_PRUNED_SHARE = 0.05

_SCHEMA = """
CREATE TABLE IF NOT EXISTS frames (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    place TEXT NOT NULL,
    seen REAL NOT NULL,
    camera TEXT NOT NULL,
    frame TEXT NOT NULL,
    label TEXT,
    score REAL NOT NULL,
    reasons TEXT NOT NULL,
    votes TEXT NOT NULL,
    look BLOB NOT NULL,
    picture BLOB NOT NULL,
    UNIQUE (camera, frame)
);
CREATE INDEX IF NOT EXISTS by_score ON frames (place, score);
"""
_COLUMNS = "id, camera, frame, seen, label, score, reasons, votes"


class Place(StrEnum):
    """What has become of a frame."""

    WAITING = "waiting"
    LABELLED = "labelled"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class Sight:
    """A frame and what the site made of it.

    Attributes:
        camera: that it is of.
        frame: its id, as text.
        seen: when it was received, in seconds since 1970.
        label: its label; the closest class of one that is unknown; None without any.
        score: what it is worth, 0..1.
        reasons: why, for people.
        votes: of the boards.
        number: its place in the queue; 0 before it has one.
    """

    camera: str
    frame: str
    seen: float
    label: str | None
    score: float
    reasons: tuple[str, ...]
    votes: tuple[StoredVote, ...]
    number: int = 0


class FrameQueue:
    """Frames that wait for a look, bounded in number and bytes. Methods may be called from any thread.

    A frame that looks like another one of its camera, even one that has been labelled or dismissed, is left out.

    Attributes:
        problem: why the last frame could not be kept; None if it was.
    """

    def __init__(self, path: Path, *, frames: int, megabytes: float) -> None:
        """Name the database.

        Args:
            path: of its file.
            frames: so many wait at most, and so many that have been looked at are remembered.
            megabytes: that all of them may take.
        """
        self.problem: str | None = None
        self._database = Database(path, _SCHEMA, 1, "queue", "--teach")
        self._frames = frames
        self._max_bytes = megabytes * _MB
        self._lock = threading.Lock()
        self._looks: dict[str, list[PictureLook]] = {}

    def open(self) -> None:
        """Create the database if there is none, and read what is needed of it.

        Raises:
            UserError: it cannot be created, or is of another version.
        """
        self._database.open()
        with self._lock:
            try:
                self._open_looks()
            except RenewedError:
                self._open_looks()

    def is_new(self, camera: str, look: PictureLook) -> bool:
        """Return whether no frame of a camera looks like this one."""
        with self._lock:
            return self._is_new(camera, look)

    def offer(self, sight: Sight, picture: bytes, look: PictureLook) -> bool:
        """Keep a frame, unless it looks like another one, or is worth less than all others and there is no room.

        Args:
            sight: the frame.
            picture: its JPEG.
            look: what it looks like.

        Returns:
            Whether it was kept. One that cannot be written is not; `problem` says why.
        """
        with self._lock:
            if not self._is_new(sight.camera, look):
                return False
            try:
                try:
                    kept = self._keep(sight, picture, look)
                except RenewedError:
                    kept = self._keep(sight, picture, look)
            except sqlite3.Error as error:
                if self.problem is None:
                    LOGGER.warning("queue: frames cannot be kept (%s)", error)
                self.problem = str(error)
                return False
            self.problem = None
            return kept

    def page(self, size: int) -> list[Sight]:
        """Return the frames that are worth most, so many at most."""
        with self._connected() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM frames WHERE place = ? ORDER BY score DESC, id DESC LIMIT ?",  # noqa: S608
                [Place.WAITING, size],
            ).fetchall()
        return [_sight(row) for row in rows]

    def waiting(self) -> int:
        """Return how many frames wait."""
        with self._connected() as database:
            return _count(database, Place.WAITING)

    def newest(self) -> int:
        """Return the number of the newest frame that waits; 0 if none does."""
        with self._connected() as database:
            query = "SELECT coalesce(max(id), 0) FROM frames WHERE place = ?"
            return int(database.execute(query, [Place.WAITING]).fetchone()[0])

    def get(self, number: int) -> Sight | None:
        """Return a frame that waits; None if none with this number does."""
        with self._connected() as database:
            row = database.execute(
                f"SELECT {_COLUMNS} FROM frames WHERE id = ? AND place = ?",  # noqa: S608
                [number, Place.WAITING],
            ).fetchone()
        return None if row is None else _sight(row)

    def picture(self, number: int) -> bytes | None:
        """Return a frame's JPEG; None if there is no such frame."""
        with self._connected() as database:
            row = database.execute("SELECT picture FROM frames WHERE id = ?", [number]).fetchone()
        return None if row is None else row[0]

    def put(self, numbers: Sequence[int], place: Place) -> None:
        """Say what has become of frames.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        with self._lock, self._connected() as database:
            database.executemany("UPDATE frames SET place = ? WHERE id = ?", [(place, number) for number in numbers])

    def _keep(self, sight: Sight, picture: bytes, look: PictureLook) -> bool:
        with self._connected() as database:
            kept = self._insert(database, sight, picture, look)
            self._prune(database)
            self._read_looks(database)
        return kept

    def _is_new(self, camera: str, look: PictureLook) -> bool:
        return not any(look.is_near(other) for other in self._looks.get(camera, ()))

    def _insert(self, database: sqlite3.Connection, sight: Sight, picture: bytes, look: PictureLook) -> bool:
        if _count(database, Place.WAITING) >= self._frames:
            number, least = database.execute(
                "SELECT id, score FROM frames WHERE place = ? ORDER BY score, id LIMIT 1", [Place.WAITING]
            ).fetchone()
            if least >= sight.score:
                return False
            database.execute("DELETE FROM frames WHERE id = ?", [number])
        votes = json.dumps([[vote.variant, vote.label, vote.confidence] for vote in sight.votes], ensure_ascii=False)
        row = (Place.WAITING, sight.seen, sight.camera, sight.frame, sight.label, sight.score)
        done = database.execute(
            "INSERT OR IGNORE INTO frames (place, seen, camera, frame, label, score, reasons, votes, look, picture) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, json.dumps(sight.reasons), votes, look.to_bytes(), picture),
        )
        return done.rowcount > 0

    def _prune(self, database: sqlite3.Connection) -> None:
        database.execute(
            "DELETE FROM frames WHERE place != ?1 AND id NOT IN "
            "(SELECT id FROM frames WHERE place != ?1 ORDER BY id DESC LIMIT ?2)",
            [Place.WAITING, self._frames],
        )
        while used_bytes(database) > self._max_bytes:
            [(number,)] = database.execute("SELECT count(*) FROM frames").fetchall()
            if number == 0:
                break
            # Those that were looked at first, then those that are worth least.
            database.execute(
                "DELETE FROM frames WHERE id IN (SELECT id FROM frames ORDER BY place = ?, score, id LIMIT ?)",
                [Place.WAITING, max(1, int(number * _PRUNED_SHARE))],
            )
        give_back(database)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database.connected() as database:
                yield database
        except RenewedError:
            # What is gone may come again.
            self._looks = {}
            raise

    def _open_looks(self) -> None:
        with self._connected() as database:
            self._read_looks(database)

    def _read_looks(self, database: sqlite3.Connection) -> None:
        self._looks = {}
        for camera, data in database.execute("SELECT camera, look FROM frames"):
            self._looks.setdefault(camera, []).append(PictureLook.from_bytes(data))


def _count(database: sqlite3.Connection, place: Place) -> int:
    return int(database.execute("SELECT count(*) FROM frames WHERE place = ?", [place]).fetchone()[0])


def _sight(row: tuple[int, str, str, float, str | None, float, str, str]) -> Sight:
    number, camera, frame, seen, label, score, reasons, votes = row
    stored = tuple(StoredVote(*vote) for vote in json.loads(votes))
    return Sight(camera, frame, seen, label, score, tuple(json.loads(reasons)), stored, number)
