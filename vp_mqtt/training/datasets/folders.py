"""Folders of class folders, divided into train, val and test or split here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_folders import describe_left_out, find_pictures, list_folders
from vp_mqtt.protocol.class_names import as_class_name, normalize
from vp_mqtt.training.datasets.pictures import Dataset, JoinedPictures, PictureFiles, Pictures
from vp_mqtt.training.datasets.split import TEST_SHARE, VALIDATION_SHARE, cut_off

PARTS = ("train", "val", "test")

_MIN_CLASSES = 2


@dataclass(frozen=True)
class _ClassFolders:
    """The class folders in a folder.

    Attributes:
        folders: by class name, in Unicode's normal form C: usually one, more where names differ only in their form.
        left_out: what else is in the folder, by kind.
    """

    folders: dict[str, list[Path]]
    left_out: Counter[str]


def _class_folders(folder: Path) -> _ClassFolders:
    found = list_folders(folder)
    by_name: dict[str, list[Path]] = {}
    for path in found.files:
        by_name.setdefault(normalize(path.name), []).append(path)
    return _ClassFolders(dict(sorted(by_name.items())), found.left_out)


def _class_names(folder: Path) -> tuple[str, ...]:
    return tuple(_class_folders(folder).folders)


def _read_part(
    folder: Path, classes: Sequence[str], problems: list[str] | None = None
) -> tuple[PictureFiles, Counter[str]]:
    """Return (the pictures of these classes in a folder, what was left out).

    Args:
        folder: with class folders.
        classes: their names.
        problems: takes a message for each class without pictures, which is no error then.

    Raises:
        UserError: classes have no pictures.
    """
    within = _class_folders(folder)
    files: list[Path] = []
    labels: list[int] = []
    left_out = Counter(within.left_out)
    empty: list[str] = []
    for index, name in enumerate(classes):
        lots = [find_pictures(path) for path in within.folders[name]]
        own = [file for lot in lots for file in lot.files]
        others = sum((lot.left_out for lot in lots), Counter[str]())
        if not own:
            there = f" (but {describe_left_out(others)})" if others else ""
            empty.append(
                f"{within.folders[name][0]}: no pictures in this class folder{there}; add some, or remove the folder"
            )
        files += own
        labels += [index] * len(own)
        left_out += others
    if problems is not None and files:
        problems += empty
    elif empty:
        more = f" (and {len(empty) - 1} more like it; `vp check-data` lists all)" if len(empty) > 1 else ""
        raise UserError(f"{empty[0]}{more}")
    return PictureFiles(files, np.array(labels, dtype=np.int64)), left_out


def pictures_by_class(
    folder: Path, without: Sequence[str] = (), *, problems: list[str] | None = None
) -> tuple[tuple[str, ...], PictureFiles, Counter[str]]:
    """Return (class names, pictures, what was left out by kind) of a folder of class folders.

    Args:
        folder: with class folders.
        without: names of class folders to leave out.
        problems: takes a message for each class without pictures, which is no error then.

    Raises:
        UserError: fewer than two classes, or one without pictures.
    """
    classes = tuple(name for name in _class_names(folder) if name not in without)
    for name in classes:
        if name != as_class_name(name):
            raise UserError(
                f"{folder}: the class folder {name!r} needs a shorter name, in UTF-8, without control characters"
            )
    if len(classes) < _MIN_CLASSES:
        raise UserError(f"{folder}: {len(classes)} class folder(s); a family needs at least two classes")
    return classes, *_read_part(folder, classes, problems)


def loose_pictures(folder: Path) -> tuple[PictureFiles, Counter[str]]:
    """Return (all pictures in a folder and the folders in it, what was left out by kind); all labels are 0.

    Raises:
        UserError: there are none.
    """
    found = find_pictures(folder)
    if not found.files:
        there = f" (but {describe_left_out(found.left_out)})" if found.left_out else ""
        raise UserError(f"{folder}: no pictures there{there}")
    return PictureFiles(found.files, np.zeros(len(found.files), dtype=np.int64)), found.left_out


def _check_same_classes(folder: Path, part: str, classes: tuple[str, ...]) -> None:
    there = _class_names(folder / part)
    missing, unknown = sorted(set(classes) - set(there)), sorted(set(there) - set(classes))
    if missing:
        raise UserError(
            f"{folder / part}: no class folder '{missing[0]}', which {folder / 'train'} has; add pictures of it, "
            f"or remove '{part}' to have it split off automatically"
        )
    if unknown:
        raise UserError(f"{folder / part / unknown[0]}: {folder / 'train'} has no such class; remove the folder")


def parts_in(folder: Path) -> list[str]:
    """Return which of `train`, `val` and `test` are parts of a folder, rather than classes of these names."""
    inside = [part for part in PARTS if (folder / part).is_dir()]
    hold_classes = any(_class_names(folder / part) for part in inside)
    return inside if hold_classes or set(_class_names(folder)) <= set(PARTS) else []


def has_class_folders(folder: Path) -> bool:
    """Return whether the folder contains `train` with class folders in it."""
    return (folder / "train").is_dir() and bool(_class_names(folder / "train"))


def picture_folder(folder: Path, seed: int, name: str | None = None, *, is_check: bool = False) -> Dataset:
    """Return a folder of class folders as a data set, split here where it is not (stratified, seeded).

    Args:
        folder: with class folders, or with `train` and perhaps `val` and `test` inside.
        seed: random seed of the split.
        name: of the data set; by default the folder's.
        is_check: classes with too few pictures, or none, are no error but `problems` of the data set.

    Raises:
        UserError: no such folder, fewer than two classes, a class without pictures or with too few to split, or parts
            whose classes differ.
    """
    inside = parts_in(folder)
    if inside and "train" not in inside:
        raise UserError(f"{folder}: there is '{inside[0]}' in it, but no 'train'; put the training pictures there")
    whole = folder / "train" if "train" in inside else folder
    problems: list[str] | None = [] if is_check else None
    classes, pictures, left_out = pictures_by_class(whole, problems=problems)
    parts = [part for part in inside if part != "train"]
    for part in parts:
        _check_same_classes(folder, part, classes)
    train: Pictures = pictures
    given: list[Pictures] = [pictures]
    if "test" in parts:
        test: Pictures
        test, others = _read_part(folder / "test", classes, problems)
        given.append(test)
        left_out += others
    else:
        train, test = cut_off(train, TEST_SHARE, seed)
    if "val" in parts:
        validation: Pictures
        validation, others = _read_part(folder / "val", classes, problems)
        given.append(validation)
        left_out += others
    else:
        train, validation = cut_off(train, VALIDATION_SHARE, seed)
    few = _too_few(whole, classes, given, (train, validation, test))
    if few and problems is None:
        raise UserError(few[0])
    dataset = Dataset(name or folder.resolve().name, classes, train, validation, test, left_out)
    return replace(dataset, problems=(*(problems or ()), *few))


def _too_few(whole: Path, classes: Sequence[str], given: Sequence[Pictures], parts: Sequence[Pictures]) -> list[str]:
    """Return a message for each class that has pictures in what is given, but not in every part that is made of it."""
    lacking = [
        name
        for index, name in enumerate(classes)
        if all((lot.labels == index).any() for lot in given) and not all((part.labels == index).any() for part in parts)
    ]
    return [f"{whole / name}: too few pictures of this class to split; give it at least three" for name in lacking]


def load_evaluation_folder(
    folder: Path, seed: int, *, everything: bool = False
) -> tuple[tuple[str, ...], Pictures, Counter[str]]:
    """Return (class names, pictures, what was left out by kind) to evaluate a bundle on: held-out pictures, or all.

    The number of classes is not checked: a bundle may be evaluated on some of its classes.

    Args:
        folder: with class folders, or with `test` or `train` inside.
        seed: random seed of the training, for the split of a folder without `test`.
        everything: return all pictures, including those that were trained on.

    Raises:
        UserError: there are no class folders, or a class folder without pictures.
    """
    inside = parts_in(folder)
    if not everything and "test" not in inside:
        if len(_class_names(folder / "train" if "train" in inside else folder)) == 1:
            raise UserError(
                f"{folder}: only one class folder, so no training has held out pictures of it; "
                "evaluate on all of it with --all"
            )
        dataset = picture_folder(folder, seed)
        return dataset.classes, dataset.test, dataset.left_out
    lots = [folder / part for part in inside if everything or part == "test"] or [folder]
    classes = tuple(sorted({name for lot in lots for name in _class_names(lot)}))
    if not classes:
        raise UserError(f"{lots[0]}: no class folders there; put the pictures into one folder per class")
    read: list[Pictures] = []
    left_out: Counter[str] = Counter()
    for lot in lots:
        own = _class_names(lot)
        if own:
            pictures, others = _read_part(lot, own)
            left_out += others
            indices = np.array([classes.index(name) for name in own], dtype=np.int64)
            read.append(pictures.relabelled(indices[pictures.labels]))
    return classes, read[0] if len(read) == 1 else JoinedPictures(read), left_out
