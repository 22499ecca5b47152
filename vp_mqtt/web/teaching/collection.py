"""Labelled pictures in a folder for each class, as `vp teach` and `vp train` read them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.files import write_atomically
from vp_mqtt.inference.picture_folders import find_pictures, is_left_alone, list_folders
from vp_mqtt.protocol.class_names import as_class_name, normalize

DELETED = ".deleted"
"""Folder of what was deleted: hidden, so that it is no class."""
_MOST_DELETED = 500
_PARTS = frozenset({"train", "val", "test"})
_MOST_NAME_BYTES = 120
_MOST_CLASSES = 1000
_MOST_PICTURES = 100_000


class CollectionError(ValueError):
    """What was asked for cannot be done; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class PictureClass:
    """A class and its pictures.

    Attributes:
        name: of the class.
        pictures: paths within its folder, sorted.
    """

    name: str
    pictures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Files or folders that have been moved: where each was, and where it is."""

    places: tuple[tuple[Path, Path], ...]

    def undo(self) -> None:
        """Move them back, those that are still there and whose place is free.

        Raises:
            OSError: one cannot be moved.
        """
        for before, after in reversed(self.places):
            if after.exists() and not before.exists():
                before.parent.mkdir(parents=True, exist_ok=True)
                after.rename(before)


class Collection:
    """Pictures in class folders. Callers see to it that only one changes them at a time."""

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        self.folder = folder

    def open(self) -> None:
        """Create the folder if there is none.

        Raises:
            OSError: it cannot be created.
        """
        self.folder.mkdir(parents=True, exist_ok=True)

    def classes(self) -> list[PictureClass]:
        """Return all classes with their pictures, by name."""
        return [self._read(path) for path in list_folders(self.folder).files]

    def get(self, name: str) -> PictureClass:
        """Return a class.

        Raises:
            CollectionError: there is none of this name.
        """
        return self._read(self.folder_of(name))

    def folder_of(self, name: str) -> Path:
        """Return the folder of a class.

        Raises:
            CollectionError: there is none of this name.
        """
        wanted = normalize(name)
        found = next((path for path in list_folders(self.folder).files if normalize(path.name) == wanted), None)
        if found is None:
            raise CollectionError(f"there is no class '{as_class_name(name)}' any more")
        return found

    def path(self, name: str, picture: str) -> Path:
        """Return the file of a picture in a class.

        Raises:
            CollectionError: there is no such class or picture.
        """
        if picture not in self.get(name).pictures:
            raise CollectionError(f"there is no picture {picture} in '{name}' any more")
        return self.folder_of(name) / picture

    def create(self, name: str) -> str:
        """Create a class without pictures; return its name.

        Raises:
            CollectionError: the name cannot be one, or is taken.
            OSError: it cannot be created.
        """
        name = self._new_name(name)
        (self.folder / name).mkdir()
        return name

    def rename(self, name: str, new: str) -> Moved:
        """Rename a class.

        Raises:
            CollectionError: there is no such class, or the name cannot be one, or is taken.
            OSError: it cannot be renamed.
        """
        folder = self.folder_of(name)
        target = self.folder / self._new_name(new, instead_of=name)
        folder.rename(target)
        return Moved(((folder, target),))

    def add(self, name: str, picture: bytes, file: str) -> Path:
        """Write a picture into a class; return its file.

        Args:
            name: of the class.
            picture: its data.
            file: name of the file; another one if it is taken.

        Raises:
            CollectionError: there is no such class.
            OSError: it cannot be written.
        """
        path = _free(self.folder_of(name) / file)
        write_atomically(path, picture)
        return path

    def move(self, name: str, pictures: Sequence[str], target: str) -> Moved:
        """Move pictures of a class into another one; those that are gone are left out.

        Raises:
            CollectionError: there is no such class.
            OSError: one cannot be moved; those before it have been moved back.
        """
        return self._move(self._chosen(name, pictures), self.folder_of(target))

    def delete(self, name: str, pictures: Sequence[str]) -> Moved:
        """Delete pictures of a class; they are kept for a while in a hidden folder.

        Raises:
            CollectionError: there is no such class.
            OSError: one cannot be moved there.
        """
        moved = self._move(self._chosen(name, pictures), self._deleted())
        self._empty_deleted()
        return moved

    def delete_class(self, name: str) -> Moved:
        """Delete a class with its pictures; it is kept for a while in a hidden folder.

        Raises:
            CollectionError: there is no such class.
            OSError: it cannot be moved there.
        """
        folder = self.folder_of(name)
        target = _free(self._deleted() / folder.name)
        folder.rename(target)
        return Moved(((folder, target),))

    def _read(self, folder: Path) -> PictureClass:
        files = itertools.islice(find_pictures(folder).files, _MOST_PICTURES)
        return PictureClass(normalize(folder.name), tuple(file.relative_to(folder).as_posix() for file in files))

    def _new_name(self, text: str, instead_of: str | None = None) -> str:
        name = normalize(text.strip())
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise CollectionError("a class needs a name without / and \\ that does not begin with a dot")
        if len(name.encode(errors="surrogatepass")) > _MOST_NAME_BYTES:
            raise CollectionError("the name is too long")
        if name != as_class_name(name):
            raise CollectionError("the name contains invisible characters: type it again")
        if is_left_alone(name):
            raise CollectionError(f"folders named '{name}' are not read, since systems and tools make them")
        if name.casefold() in _PARTS:
            raise CollectionError(f"'{name}' means a part of a data set: choose another name")
        names = (normalize(one.name) for one in list_folders(self.folder).files)
        others = {one.casefold(): one for one in names if one != instead_of}
        if (same := others.get(name.casefold())) is not None:
            raise CollectionError(f"there is a class '{same}' already")
        if len(others) >= _MOST_CLASSES:
            raise CollectionError(f"there are {_MOST_CLASSES} classes already")
        return name

    def _chosen(self, name: str, pictures: Sequence[str]) -> list[Path]:
        there = set(self.get(name).pictures)
        return [self.folder_of(name) / picture for picture in pictures if picture in there]

    def _move(self, files: Sequence[Path], target: Path) -> Moved:
        done: list[tuple[Path, Path]] = []
        try:
            for file in files:
                if file.parent != target:
                    place = _free(target / file.name)
                    file.rename(place)
                    done.append((file, place))
        except OSError:
            Moved(tuple(done)).undo()
            raise
        return Moved(tuple(done))

    def _deleted(self) -> Path:
        folder = self.folder / DELETED
        folder.mkdir(exist_ok=True)
        return folder

    def _empty_deleted(self) -> None:
        """Remove what was deleted longest ago of too many pictures; class folders stay."""
        files = [entry for entry in os.scandir(self._deleted()) if entry.is_file(follow_symlinks=False)]
        # A file keeps its time when it is moved, but the folder entry's changes with its name.
        files.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_ctime)
        for entry in files[: max(0, len(files) - _MOST_DELETED)]:
            Path(entry.path).unlink(missing_ok=True)


def _free(path: Path) -> Path:
    """Return a path that is not taken: this one, or one with a number."""
    if not path.exists() and not path.is_symlink():
        return path
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(one for one in numbered if not one.exists() and not one.is_symlink())
