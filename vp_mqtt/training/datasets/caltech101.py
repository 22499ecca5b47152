"""Caltech-101, from the folder `101_ObjectCategories` that its authors publish."""

from __future__ import annotations

from pathlib import Path

from vp_mqtt.training.datasets.folders import pictures_by_class
from vp_mqtt.training.datasets.pictures import Dataset
from vp_mqtt.training.datasets.published import Published
from vp_mqtt.training.datasets.split import TEST_SHARE, VALIDATION_SHARE, cut_off

BACKGROUND = "BACKGROUND_Google"

_PUBLISHED = Published(
    "Caltech-101",
    "caltech-101.zip (and 101_ObjectCategories.tar.gz inside it)",
    "https://data.caltech.edu/records/mzrjq-6wc02",
    ("caltech-101", "caltech101"),
)
_FOLDER = "101_ObjectCategories"


def caltech101(root: Path | None, seed: int) -> Dataset:
    """Return Caltech-101 (Fei-Fei, Fergus, Perona 2004): 8,677 pictures of 101 classes; the background is left out.

    The authors define no split: a sixth of every class is used for test here, then a twelfth of the rest for
    validation (stratified, seeded). The class names are the folders', such as `Faces_easy` and `sea_horse`.

    Args:
        root: `101_ObjectCategories`, or a folder that holds it.
        seed: random seed of the split.

    Raises:
        UserError: the folder is missing, or a class in it without pictures.
    """
    if root is not None and (root / BACKGROUND).is_dir():
        folder = root
    else:
        found = _PUBLISHED.find(root, (_FOLDER,))
        if found is None:
            raise _PUBLISHED.missing(root, _FOLDER)
        folder = found / _FOLDER
    classes, pictures, left_out = pictures_by_class(folder, without=(BACKGROUND,))
    train, test = cut_off(pictures, TEST_SHARE, seed)
    train, validation = cut_off(train, VALIDATION_SHARE, seed)
    return Dataset("caltech101", classes, train, validation, test, left_out)
