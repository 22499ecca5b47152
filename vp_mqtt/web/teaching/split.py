"""Divides labelled pictures into those that are learnt and those that are held out, always the same ones."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from vp_mqtt.plain_text import counted
from vp_mqtt.web.teaching.collection import Collection, CollectionError
from vp_mqtt.web.teaching.place import TeachFolder
from vp_mqtt.web.teaching.results import Result
from vp_mqtt.web.teaching.teaching import FEWEST

_HELD_OUT_SHARE = 1 / 5
_MIN_CLASSES = 2
_ONLY_SPLIT = "split"
"""Where former versions had what any bundle has learnt."""


def held_out(pictures: Sequence[str]) -> set[str]:
    """Return which pictures of a class are held out: about a fifth, at least one.

    It depends on a picture's name alone: one that was held out stays so as others come, so that a family that has
    learnt before cannot have learnt from it.
    """
    places = {picture: _place(picture) for picture in pictures}
    chosen = {picture for picture, place in places.items() if place < _HELD_OUT_SHARE}
    if not chosen and pictures:
        chosen = {min(places, key=lambda picture: (places[picture], picture))}
    if len(chosen) == len(pictures) and chosen:
        chosen.discard(max(chosen, key=lambda picture: (places[picture], picture)))
    return chosen


def divide(collection: Collection, out: Path) -> None:
    """Make a folder with the parts `train` and `test`, whose files are links to the pictures.

    As hard links they stay what they are when classes are renamed, or pictures moved and deleted.

    Args:
        collection: the pictures; classes without any are left out.
        out: folder to make; one that is there is replaced.

    Raises:
        CollectionError: there are too few classes, or too few pictures of one.
        OSError: it cannot be written.
    """
    used = [one for one in collection.classes() if one.pictures]
    if len(used) < _MIN_CLASSES:
        raise CollectionError("a family needs at least two classes with pictures")
    few = [one for one in used if len(one.pictures) < FEWEST]
    if few:
        raise CollectionError(
            f"'{few[0].name}' has {counted(len(few[0].pictures), 'picture')}: it needs at least {FEWEST}"
        )
    if out.exists():
        shutil.rmtree(out)
    for one in used:
        chosen, folder = held_out(one.pictures), collection.folder_of(one.name)
        for picture in one.pictures:
            link = out / ("test" if picture in chosen else "train") / one.name / picture
            link.parent.mkdir(parents=True, exist_ok=True)
            _link((folder / picture).resolve(), link)


def split_of(folder: TeachFolder, result: Result | None) -> Path | None:
    """Return where that is what a bundle has learnt; None without a bundle."""
    if result is None:
        return None
    return Path(result.split) if result.split else folder.path / _ONLY_SPLIT


def clear_splits(folder: TeachFolder, keep: Path | None) -> None:
    """Remove what trainings have learnt that failed, or whose bundles are not the newest any more."""
    for path in (folder.path / _ONLY_SPLIT, *folder.splits.glob("*")):
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)


def _link(picture: Path, link: Path) -> None:
    try:
        link.hardlink_to(picture)
    except OSError:
        # On another file system, on one without such links, or with files of another user.
        link.symlink_to(picture)


def _place(picture: str) -> float:
    """Return a number that the name of a picture's file determines, 0..1."""
    name = picture.rpartition("/")[2]
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:6], "big") / 2**48
