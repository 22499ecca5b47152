"""What is done with frames and labelled pictures, one thing at a time, each with its undoing."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from vp_mqtt.inference.picture_formats import SNAPSHOTS, PictureFormat, find_format
from vp_mqtt.inference.picture_look import PictureLook
from vp_mqtt.inference.pictures import decode
from vp_mqtt.plain_text import counted
from vp_mqtt.web.teaching.actions import Action, Actions
from vp_mqtt.web.teaching.collection import Collection, CollectionError
from vp_mqtt.web.teaching.queue import FrameQueue, Place

_SUFFIXES = {PictureFormat.JPEG: ".jpg", PictureFormat.PNG: ".png"}
FEWEST, GOOD, PLENTY = 5, 20, 60
"""Pictures of a class: what a training needs, what makes a clear difference, and what is enough."""
_MOST_BURST_HASHES = 500
_MOST_BURST_CLASSES = 50
_BURST_PAUSE_S = 3.0


@dataclass(frozen=True, slots=True)
class _Burst:
    """Pictures that were captured one after another."""

    name: str
    paths: tuple[Path, ...]
    action: Action
    at: float


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of pictures that were uploaded to a class: how many of them.

    Attributes:
        added: were written.
        unusable: cannot be decoded.
        repeated: are in the class already, or were uploaded more than once.
    """

    added: int
    unusable: int
    repeated: int


class Teaching:
    """The queue and the collection, as people change them. Methods may be called from any thread.

    What is asked for of pictures that are gone meanwhile is left out: two people may label at once.

    Attributes:
        queue: frames that wait.
        collection: labelled pictures.
        actions: what can be undone.
    """

    def __init__(self, queue: FrameQueue, collection: Collection) -> None:
        """Prepare."""
        self.queue = queue
        self.collection = collection
        self.actions = Actions()
        self._lock = threading.Lock()
        # Of pictures that were captured since the start, by class: a burst holds many that look the same.
        self._burst: _Burst | None = None
        self._captured: OrderedDict[str, deque[PictureLook]] = OrderedDict()

    def label(self, numbers: Sequence[int], name: str) -> int:
        """Put frames that wait into a class; return how many.

        Raises:
            CollectionError: there is no such class.
            OSError: a picture cannot be written.
            sqlite3.Error: the queue cannot be written.
        """
        with self._lock:
            done: list[tuple[int, Path]] = []
            try:
                for number in numbers:
                    sight, picture = self.queue.get(number), self.queue.picture(number)
                    if sight is not None and picture is not None:
                        file = f"{sight.camera}-{sight.frame}.jpg"
                        done.append((number, self.collection.add(name, picture, file)))
                self.queue.put([number for number, _ in done], Place.LABELLED)
            except BaseException:
                _remove([path for _, path in done])
                raise
        if done:
            self.actions.add(Action(f"{counted(len(done), 'frame')} into '{name}'", lambda: self._unlabel(done)))
        return len(done)

    def dismiss(self, numbers: Sequence[int]) -> int:
        """Take frames out of the queue; return how many.

        Raises:
            sqlite3.Error: the queue cannot be written.
        """
        with self._lock:
            chosen = [number for number in numbers if self.queue.get(number) is not None]
            self.queue.put(chosen, Place.DISMISSED)
        if chosen:
            text = f"{counted(len(chosen), 'frame')} dismissed"
            self.actions.add(Action(text, lambda: self.queue.put(chosen, Place.WAITING)))
        return len(chosen)

    def create(self, name: str) -> str:
        """Create a class; return its name. Raises as the collection does."""
        with self._lock:
            made = self.collection.create(name)
        self.actions.add(Action(f"class '{made}' created", lambda: self._uncreate(made)))
        return made

    def rename(self, name: str, new: str) -> None:
        """Rename a class. Raises as the collection does."""
        with self._lock:
            moved = self.collection.rename(name, new)
        self.actions.add(Action(f"class '{name}' renamed", moved.undo))

    def move(self, name: str, pictures: Sequence[str], target: str) -> int:
        """Move pictures into another class; return how many. Raises as the collection does."""
        with self._lock:
            moved = self.collection.move(name, pictures, target)
        if moved.places:
            self.actions.add(Action(f"{counted(len(moved.places), 'picture')} moved to '{target}'", moved.undo))
        return len(moved.places)

    def delete(self, name: str, pictures: Sequence[str]) -> int:
        """Delete pictures; return how many. Raises as the collection does."""
        with self._lock:
            moved = self.collection.delete(name, pictures)
        if moved.places:
            self.actions.add(Action(f"{counted(len(moved.places), 'picture')} deleted", moved.undo))
        return len(moved.places)

    def delete_class(self, name: str) -> None:
        """Delete a class with its pictures. Raises as the collection does."""
        with self._lock:
            moved = self.collection.delete_class(name)
        self.actions.add(Action(f"class '{name}' deleted", moved.undo))

    def capture(self, name: str, camera: str, frame: str, picture: bytes) -> bool:
        """Put a frame into a class unless it looks like one that was captured into it before; return whether it was.

        Raises:
            CollectionError: there is no such class.
            PictureError: it cannot be decoded.
            OSError: it cannot be written.
        """
        look = PictureLook.of_jpeg(picture)
        with self._lock:
            before = self._captured.setdefault(name, deque(maxlen=_MOST_BURST_HASHES))
            if len(self._captured) > _MOST_BURST_CLASSES:
                self._captured.popitem(last=False)
            if any(look.is_near(other) for other in before):
                return False
            path = self.collection.add(name, picture, f"{camera}-{frame}.jpg")
            before.append(look)
            self._note_captured(name, path)
        return True

    def upload(self, name: str, pictures: Sequence[bytes]) -> Uploaded:
        """Put pictures into a class, but those that it has already; return what became of them.

        Raises:
            CollectionError: there is no such class.
            OSError: one cannot be read or written.
        """
        usable = [picture for picture in pictures if _is_usable(picture)]
        done: list[Path] = []
        stamp = time.strftime("%Y%m%d-%H%M%S")
        with self._lock:
            new = self._new_ones(name, usable)
            try:
                for number, picture in enumerate(new, 1):
                    suffix = _SUFFIXES[find_format(picture) or PictureFormat.JPEG]
                    done.append(self.collection.add(name, picture, f"upload-{stamp}-{number}{suffix}"))
            except BaseException:
                _remove(done)
                raise
        if done:
            self.actions.add(Action(f"{counted(len(done), 'picture')} uploaded to '{name}'", lambda: _remove(done)))
        return Uploaded(len(done), unusable=len(pictures) - len(usable), repeated=len(usable) - len(new))

    def _new_ones(self, name: str, pictures: Sequence[bytes]) -> list[bytes]:
        """Return pictures that a class does not have, each once: copies would be held out as well as learnt."""
        folder, sizes = self.collection.folder_of(name), {len(picture) for picture in pictures}
        own = (folder / picture for picture in self.collection.get(name).pictures)
        same_size = [path.read_bytes() for path in own if path.stat().st_size in sizes]
        had = {hashlib.sha256(data).digest() for data in same_size}
        found = {hashlib.sha256(picture).digest(): picture for picture in pictures}
        return [picture for digest, picture in found.items() if digest not in had]

    def _note_captured(self, name: str, path: Path) -> None:
        """Make one action of the pictures of a burst."""
        now, last = time.monotonic(), self._burst
        if last is not None and (
            last.name != name or now - last.at > _BURST_PAUSE_S or not self.actions.ends_with(last.action)
        ):
            last = None
        paths = (path,) if last is None else (*last.paths, path)
        action = Action(f"{counted(len(paths), 'picture')} captured into '{name}'", lambda: _remove(paths))
        self.actions.add(action, instead_of=None if last is None else last.action)
        self._burst = _Burst(name, paths, action, now)

    def _unlabel(self, done: Sequence[tuple[int, Path]]) -> None:
        self.queue.put([number for number, _ in done], Place.WAITING)
        _remove([path for _, path in done])

    def _uncreate(self, name: str) -> None:
        # Only as long as it is empty.
        with contextlib.suppress(CollectionError, OSError):
            (self.collection.folder / name).rmdir()


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _is_usable(picture: bytes) -> bool:
    cv2.setNumThreads(1)
    try:
        decode(picture, formats=SNAPSHOTS)
    except ValueError:
        return False
    return True


def advice(pictures: int) -> str:
    """Return what would help a class with so many pictures, for people; empty if nothing would much."""
    if pictures < FEWEST:
        return f"{FEWEST - pictures} more needed"
    if pictures < GOOD:
        return f"{GOOD - pictures} more would help much"
    return "" if pictures < PLENTY else "plenty"
