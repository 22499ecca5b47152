"""A folder of files that changes as a whole: written aside, then put in place, so that it is never half of one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.errors import UserError

PUBLIC = 0o644
SECRET = 0o600
PROGRAM = 0o755
_FOLDER = 0o755
_SECRET_FOLDER = 0o700


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes and mode."""

    data: bytes
    mode: int = PUBLIC


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed, as paths within the folder."""

    written: tuple[str, ...]
    removed: tuple[str, ...]


def _aside(root: Path, kind: str) -> Path:
    return root.with_name(f".{root.name}.{kind}")


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the folder against a second one of us, and mend what a run that was killed has left.

    Raises:
        UserError: another one is at work, or the place cannot be written to.
    """
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _aside(root, "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{root}: another `vp site provision` is writing there; wait for it") from None
            if not root.exists() and _aside(root, "old").exists():
                _aside(root, "old").rename(root)
            for kind in ("new", "old"):
                shutil.rmtree(_aside(root, kind), ignore_errors=True)
            yield
    except OSError as error:
        raise UserError(f"{error.filename or root}: {error.strerror}") from None


def _is_same(path: Path, content: Content) -> bool:
    try:
        return path.read_bytes() == content.data and path.stat().st_mode & 0o777 == content.mode
    except OSError:
        return False


def write(root: Path, files: Mapping[str, Content], gone: Collection[str] = ()) -> Changes:
    """Make a folder hold these files, and return what changed; to be called while it is `locked`.

    Files that are there already and not named are kept. Nothing is changed until everything is written.

    Args:
        root: the folder.
        files: by path within the folder.
        gone: paths of files and folders that are to go.

    Raises:
        OSError: the place cannot be written to; the folder is as it was.
    """
    written = tuple(sorted(path for path, content in files.items() if not _is_same(root / path, content)))
    removed = tuple(sorted(path for path in gone if (root / path).exists()))
    if not written and not removed:
        return Changes((), ())
    new, old = _aside(root, "new"), _aside(root, "old")
    if root.exists():
        # Links, not copies: a file that stays is the same file. Those that change are unlinked first.
        shutil.copytree(root, new, copy_function=os.link, symlinks=True)
    else:
        new.mkdir()
    new.chmod(_SECRET_FOLDER)
    for path in removed:
        target = new / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
    for path in written:
        _write_file(new / path, files[path])
    if root.exists():
        root.rename(old)
    new.rename(root)
    shutil.rmtree(old, ignore_errors=True)
    return Changes(written, removed)


def _write_file(path: Path, content: Content) -> None:
    path.parent.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.data)
        os.fchmod(file.fileno(), content.mode)
        file.flush()
        os.fsync(file.fileno())
