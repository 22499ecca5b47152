"""Food-101, from the folders `images` and `meta` that its authors publish."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets.pictures import Dataset, PictureFiles
from vp_mqtt.training.datasets.published import Published, listed_files, read_lines
from vp_mqtt.training.datasets.split import VALIDATION_SHARE, cut_off

_PUBLISHED = Published(
    "Food-101", "food-101.tar.gz", "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/", ("food-101",)
)
_FILES = ("images", "meta/classes.txt", "meta/train.txt", "meta/test.txt")


def _read_part(folder: Path, part: str, classes: list[str]) -> PictureFiles:
    listed_in = folder / "meta" / f"{part}.txt"
    index = {name: label for label, name in enumerate(classes)}
    files, labels = [], []
    for line in read_lines(listed_in):
        class_name, slash, number = line.partition("/")
        if not slash or class_name not in index:
            raise UserError(f"{listed_in}: '{line[:80]}' is not CLASS/NUMBER of a listed class; download it again")
        files.append(folder / "images" / class_name / f"{number}.jpg")
        labels.append(index[class_name])
    return listed_files(files, np.array(labels, dtype=np.int64), listed_in)


def food101(root: Path | None, seed: int) -> Dataset:
    """Return Food-101 (Bossard, Guillaumin, Van Gool 2014): 75,750 + 25,250 pictures of 101 dishes.

    The class names are the folders' (`meta/classes.txt`), such as `apple_pie`.

    Args:
        root: folder with `images` and `meta`, or that the archive was unpacked into.
        seed: random seed of the split into training and validation part.

    Raises:
        UserError: a file is missing or not of the published format.
    """
    folder = _PUBLISHED.find(root, _FILES)
    if folder is None:
        raise _PUBLISHED.missing(root, "images, meta/classes.txt, meta/train.txt, meta/test.txt")
    classes = read_lines(folder / "meta" / "classes.txt")
    if len(set(classes)) != len(classes):
        raise UserError(f"{folder / 'meta/classes.txt'}: names a class twice; download the file again")
    train, validation = cut_off(_read_part(folder, "train", classes), VALIDATION_SHARE, seed)
    return Dataset("food101", tuple(classes), train, validation, _read_part(folder, "test", classes))
