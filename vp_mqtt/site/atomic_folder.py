"""A folder that changes atomically: the new one is written beside it and then takes its place."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.files import write_atomically

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


def _beside(root: Path, kind: str) -> Path:
    return root.with_name(f".{root.name}.{kind}")


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Lock the folder against another process, and clean up after one that was killed.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written.
    """
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _beside(root, "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{root}: another `vp site provision` is writing there; wait for it") from None
            if not root.exists() and _beside(root, "old").exists():
                _beside(root, "old").rename(root)
            for kind in ("new", "old"):
                shutil.rmtree(_beside(root, kind), ignore_errors=True)
            yield
    except OSError as error:
        raise UserError(f"{error.filename or root}: {error.strerror}") from None


def _is_same(path: Path, content: Content) -> bool:
    try:
        return path.read_bytes() == content.data and path.stat().st_mode & 0o777 == content.mode
    except OSError:
        return False


def write(root: Path, files: Mapping[str, Content], obsolete: Collection[str] = ()) -> Changes:
    """Write files into a folder that is `locked`, and return what changed.

    Existing files that are not named are kept. The folder does not change before everything is written.

    Args:
        root: the folder.
        files: by path within the folder.
        obsolete: paths of files and folders to remove.

    Raises:
        OSError: the folder cannot be written; it is unchanged.
    """
    written = tuple(sorted(path for path, content in files.items() if not _is_same(root / path, content)))
    removed = tuple(sorted(path for path in obsolete if (root / path).exists()))
    if not written and not removed:
        return Changes((), ())
    new, old = _beside(root, "new"), _beside(root, "old")
    if root.exists():
        # Links, not copies: unchanged files stay the same files.
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
        (new / path).parent.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
        # A new file in place of the link.
        write_atomically(new / path, files[path].data, mode=files[path].mode)
    if root.exists():
        root.rename(old)
    new.rename(root)
    shutil.rmtree(old, ignore_errors=True)
    return Changes(written, removed)
