"""The newest settings of the site on disk, so that a change can be taken back."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.logs import LOGGER
from vp_mqtt.web.database import Database

_FORMAT = 1
_KEPT_EACH, _KEPT = 50, 2000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seen REAL NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    person TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_topic ON settings (topic, id);
"""
_COLUMNS = "id, seen, topic, payload, person"


@dataclass(frozen=True, slots=True)
class StoredSettings:
    """Settings that were the site's at some time.

    Attributes:
        number: later ones have larger numbers.
        seen: when they came, in seconds since 1970.
        topic: whose they are.
        payload: the message; empty where the site had none.
        person: who changed them on this page; empty if that is not known.
    """

    number: int
    seen: float
    topic: str
    payload: bytes
    person: str


class SettingsStore:
    """The newest settings of each topic, in a bounded number. Methods may be called from any thread.

    Attributes:
        problem: why the last change could not be kept; None if it was.
    """

    def __init__(self, path: Path) -> None:
        """Name the database's file."""
        self.problem: str | None = None
        self._database = Database(path, _SCHEMA, _FORMAT, "settings", "--history")
        self._lock = threading.Lock()

    def open(self) -> None:
        """Create the database if there is none; one that is damaged is put aside.

        Raises:
            UserError: it cannot be created, or is of another version.
        """
        self._database.open()

    def note(self, topic: str, payload: bytes, person: str, seen: float) -> None:
        """Keep settings, unless they are the ones that were kept last of this topic."""
        try:
            with self._lock, self._database.connected() as database:
                # Another page of this site, on this machine, notes the same.
                database.execute("BEGIN IMMEDIATE")
                newest = "SELECT payload FROM settings WHERE topic = ? ORDER BY id DESC LIMIT 1"
                row = database.execute(newest, [topic]).fetchone()
                if (b"" if row is None else row[0]) == payload:
                    return
                if row is None:
                    # What the first change can be taken back to.
                    self._insert(database, topic, b"", "", seen)
                self._insert(database, topic, payload, person, seen)
        except sqlite3.Error as error:
            if self.problem is None:
                LOGGER.warning("settings: changes cannot be kept (%s)", error)
            self.problem = str(error)
        else:
            self.problem = None

    def newest(self, count: int) -> list[StoredSettings]:
        """Return so many, newest first."""
        return self._select("ORDER BY id DESC LIMIT ?", [count])

    def get(self, number: int) -> StoredSettings | None:
        """Return the settings with a number; None if they are not kept."""
        return next(iter(self._select("WHERE id = ?", [number])), None)

    def before(self, topic: str) -> StoredSettings | None:
        """Return the settings before the newest of a topic; None if there are none."""
        return next(iter(self._select("WHERE topic = ? ORDER BY id DESC LIMIT 1 OFFSET 1", [topic])), None)

    def _select(self, which: str, values: list[object]) -> list[StoredSettings]:
        with self._database.connected() as database:
            # `which` is a constant above, its values are parameters.
            rows = database.execute(f"SELECT {_COLUMNS} FROM settings {which}", values).fetchall()  # noqa: S608
        return [StoredSettings(*row) for row in rows]

    @staticmethod
    def _insert(database: sqlite3.Connection, topic: str, payload: bytes, person: str, seen: float) -> None:
        database.execute(
            "INSERT INTO settings (seen, topic, payload, person) VALUES (?, ?, ?, ?)", [seen, topic, payload, person]
        )
        of_topic = "SELECT id FROM settings WHERE topic = ? ORDER BY id DESC LIMIT ?"
        database.execute(
            f"DELETE FROM settings WHERE topic = ? AND id NOT IN ({of_topic})",  # noqa: S608 (a constant)
            [topic, topic, _KEPT_EACH],
        )
        database.execute("DELETE FROM settings WHERE id <= (SELECT max(id) FROM settings) - ?", [_KEPT])
