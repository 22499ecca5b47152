"""The history on disk: an SQLite database, bounded by age and size."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from vp_mqtt.logs import LOGGER
from vp_mqtt.web.database import Database, RenewedError, give_back, used_bytes
from vp_mqtt.web.history.changes import StateChange, StoredVote

_FORMAT = 1
_DAY_S = 86_400.0
_MB = 1_000_000
_PRUNE_EVERY = 20
# So many go at once when it is too large, so that this is not done for each.
_PRUNED_SHARE = 0.05
PAGE_SIZE = 24

_SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seen REAL NOT NULL,
    camera TEXT NOT NULL,
    since REAL NOT NULL,
    label TEXT,
    previous TEXT,
    confidence REAL,
    reason TEXT NOT NULL,
    bundle TEXT NOT NULL,
    disputed INTEGER NOT NULL,
    votes TEXT NOT NULL,
    has_picture INTEGER NOT NULL,
    picture BLOB,
    UNIQUE (camera, since)
);
CREATE INDEX IF NOT EXISTS by_camera ON changes (camera, id);
CREATE INDEX IF NOT EXISTS by_label ON changes (label, id);
CREATE INDEX IF NOT EXISTS by_seen ON changes (seen);
"""
_COLUMNS = "id, camera, since, label, previous, confidence, reason, bundle, votes, has_picture"


@dataclass(frozen=True, slots=True)
class Entry:
    """A change that was kept.

    Attributes:
        number: its place in the history: later ones have larger numbers.
        change: without its picture.
        has_picture: whether there is one.
    """

    number: int
    change: StateChange
    has_picture: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """Which changes to show.

    Attributes:
        camera: of this camera; None for all.
        label: with this label; None for all.
        is_unknown: only to unknown; `label` is ignored then.
        is_disputed: only those on which boards disagreed.
    """

    camera: str | None = None
    label: str | None = None
    is_unknown: bool = False
    is_disputed: bool = False

    def conditions(self) -> tuple[str, list[object]]:
        """Return the SQL condition, and its parameters."""
        parts, values = ["1"], list[object]()
        if self.camera is not None:
            parts.append("camera = ?")
            values.append(self.camera)
        if self.is_unknown:
            parts.append("label IS NULL")
        elif self.label is not None:
            parts.append("label = ?")
            values.append(self.label)
        if self.is_disputed:
            parts.append("disputed = 1")
        return " AND ".join(parts), values


class History:
    """Changes of states, kept for some days and in some megabytes. Methods may be called from any thread.

    Attributes:
        problem: why the last change could not be kept; None if it was.
    """

    def __init__(self, path: Path, *, days: float, megabytes: float) -> None:
        """Name the database.

        Args:
            path: of its file.
            days: changes that are older are removed.
            megabytes: the oldest ones are removed when it takes more.
        """
        self.problem: str | None = None
        self._database = Database(path, _SCHEMA, _FORMAT, "history", "--history")
        self._days = days
        self._max_bytes = megabytes * _MB
        self._lock = threading.Lock()
        self._since_pruned = 0

    def open(self) -> None:
        """Create the database if there is none; one that is damaged is put aside.

        Raises:
            UserError: it cannot be created, or is of another version.
        """
        self._database.open()

    def add(self, change: StateChange, seen: float) -> None:
        """Keep a change; one that is there already, or cannot be written, is left out.

        Args:
            change: to keep.
            seen: when it was received, in seconds since 1970.
        """
        votes = json.dumps([asdict(vote) for vote in change.votes], ensure_ascii=False)
        row = (
            seen,
            change.camera,
            change.since,
            change.label,
            change.previous,
            change.confidence,
            change.reason,
            change.bundle,
            change.is_disputed,
            votes,
            change.picture is not None,
            change.picture,
        )
        try:
            with self._lock:
                try:
                    self._insert(row, seen)
                except RenewedError:
                    self._insert(row, seen)
        except sqlite3.Error as error:
            if self.problem is None:
                LOGGER.warning("history: changes cannot be kept (%s)", error)
            self.problem = str(error)
        else:
            self.problem = None

    def _insert(self, row: tuple[object, ...], seen: float) -> None:
        with self._database.connected() as database:
            database.execute(
                "INSERT OR IGNORE INTO changes (seen, camera, since, label, previous, confidence, reason, bundle, "
                "disputed, votes, has_picture, picture) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            self._since_pruned += 1
            if self._since_pruned >= _PRUNE_EVERY:
                self._since_pruned = 0
                self._prune(database, seen)

    def prune(self, now: float) -> None:
        """Remove what is too old or too much, now in seconds since 1970."""
        with self._lock, contextlib.suppress(sqlite3.Error), self._database.connected() as database:
            self._prune(database, now)

    def page(self, wanted: Filter, before: int | None = None, size: int = PAGE_SIZE) -> list[Entry]:
        """Return changes, newest first.

        Args:
            wanted: which ones.
            before: only those with smaller numbers; None from the newest one on.
            size: how many at most.
        """
        condition, values = wanted.conditions()
        if before is not None:
            condition, values = f"{condition} AND id < ?", [*values, before]
        with self._database.connected() as database:
            rows = database.execute(
                # The condition is made of constants above, its values are parameters.
                f"SELECT {_COLUMNS} FROM changes WHERE {condition} ORDER BY id DESC LIMIT ?",  # noqa: S608
                [*values, size],
            ).fetchall()
        return [_entry(row) for row in rows]

    def picture(self, number: int) -> bytes | None:
        """Return the picture of a change, a JPEG; None if there is none."""
        with self._database.connected() as database:
            row = database.execute("SELECT picture FROM changes WHERE id = ?", [number]).fetchone()
        return None if row is None else row[0]

    def cameras(self) -> list[str]:
        """Return the names of all cameras in the history."""
        return self._distinct("camera")

    def labels(self) -> list[str]:
        """Return all labels in the history, but for unknown."""
        return self._distinct("label")

    def _distinct(self, column: str) -> list[str]:
        with self._database.connected() as database:
            query = f"SELECT DISTINCT {column} FROM changes WHERE {column} IS NOT NULL ORDER BY 1 LIMIT 1000"  # noqa: S608
            return [row[0] for row in database.execute(query)]

    def _prune(self, database: sqlite3.Connection, now: float) -> None:
        database.execute("DELETE FROM changes WHERE seen < ?", [now - self._days * _DAY_S])
        while used_bytes(database) > self._max_bytes:
            [(number,)] = database.execute("SELECT count(*) FROM changes").fetchall()
            if number == 0:
                break
            some = max(1, int(number * _PRUNED_SHARE))
            database.execute("DELETE FROM changes WHERE id IN (SELECT id FROM changes ORDER BY id LIMIT ?)", [some])
        give_back(database)


def _entry(row: tuple[int, str, float, str | None, str | None, float | None, str, str, str, int]) -> Entry:
    number, camera, since, label, previous, confidence, reason, bundle, votes, has_picture = row
    return Entry(
        number,
        StateChange(
            camera=camera,
            since=since,
            label=label,
            previous=previous,
            confidence=confidence,
            reason=reason,
            bundle=bundle,
            votes=tuple(StoredVote(**vote) for vote in json.loads(votes)),
        ),
        bool(has_picture),
    )
