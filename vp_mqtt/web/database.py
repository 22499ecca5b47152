"""An SQLite database of the page: private to the user, made anew where it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER

_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_WAIT_S = 5.0
_WAL_BYTES = 4_000_000
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_RENEWING = threading.Lock()


class RenewedError(sqlite3.DatabaseError):
    """A database was found to be damaged, and is put aside: there is a new one, without what was asked for."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database in a file. Methods may be called from any thread.

    Attributes:
        path: of its file.
        schema: SQL that creates what is missing.
        version: of the schema, greater than 0.
        what: its name in messages, such as "history".
        flag: that names its folder.
    """

    path: Path
    schema: str
    version: int
    what: str
    flag: str

    def open(self) -> None:
        """Create the database if there is none; one that is damaged from its first page on is put aside.

        Raises:
            UserError: it cannot be created, or is of another version.
        """
        try:
            self.path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE))
            try:
                self._create()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._put_aside(error)
                self._create()
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{self.what} {self.path}: {error}; name another folder with {self.flag}") from None

    @contextlib.contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """Provide a connection; what is changed is kept unless an exception ends the context.

        Raises:
            RenewedError: a page of it is damaged, which shows only when it is read.
        """
        opened = _inode(self.path)
        try:
            with (
                contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT_S)) as database,
                database,
            ):
                database.execute("PRAGMA synchronous = NORMAL")
                database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
                yield database
        except sqlite3.DatabaseError as error:
            # Of an extended error code, the lowest byte is the code.
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF not in _DAMAGED:
                raise
            with _RENEWING:
                # Another thread may have done so already.
                if _inode(self.path) == opened:
                    self._renew(error)
            raise RenewedError(str(error)) from error

    def _create(self) -> None:
        with contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)) as database:
            found = database.execute("PRAGMA user_version").fetchone()[0]
            if found not in {0, self.version}:
                raise UserError(f"{self.what} {self.path}: of another version of vp-mqtt; name another folder")
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(self.schema)
            database.execute(f"PRAGMA user_version = {self.version}")

    def _renew(self, error: sqlite3.Error) -> None:
        try:
            self._put_aside(error)
            self._create()
        except OSError as failure:
            raise sqlite3.OperationalError(f"{error}, and it cannot be put aside: {failure.strerror}") from error

    def _put_aside(self, error: sqlite3.Error) -> None:
        aside = self.path.with_suffix(".damaged")
        self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        LOGGER.warning("%s: %s is damaged (%s); it is kept as %s", self.what, self.path, error, aside.name)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE))


def _inode(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.stat().st_ino
    return None


def used_bytes(database: sqlite3.Connection) -> int:
    """Return how much of its file a database uses, in bytes."""
    pages, free, size = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def give_back(database: sqlite3.Connection) -> None:
    """Commit, and give back to the file system what is no longer used."""
    # As a script, which commits first: `execute` would free a single page.
    database.executescript("PRAGMA incremental_vacuum")
