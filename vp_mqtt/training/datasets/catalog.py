"""Data sets by name, and folders of pictures by path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets.caltech101 import caltech101
from vp_mqtt.training.datasets.cifar import CIFAR10, CIFAR100, read_cifar
from vp_mqtt.training.datasets.fashion_mnist import fashion_mnist
from vp_mqtt.training.datasets.flowers102 import flowers102
from vp_mqtt.training.datasets.folders import has_class_folders, load_evaluation_folder, parts_in, picture_folder
from vp_mqtt.training.datasets.food101 import food101
from vp_mqtt.training.datasets.pictures import Dataset, Pictures
from vp_mqtt.training.datasets.stanford_dogs import stanford_dogs
from vp_mqtt.training.datasets.svhn import svhn

NAMED: dict[str, Callable[[Path | None, int], Dataset]] = {
    "caltech101": caltech101,
    "cifar10": partial(read_cifar, CIFAR10),
    "cifar100": partial(read_cifar, CIFAR100),
    "fashion-mnist": fashion_mnist,
    "flowers102": flowers102,
    "food101": food101,
    "stanford-dogs": stanford_dogs,
    "svhn": svhn,
}


@dataclass(frozen=True)
class EvaluationSet:
    """Pictures to evaluate a bundle on.

    Attributes:
        name: of the data set.
        classes: class names by index.
        pictures: labelled with these indices.
        is_cut: whether a seed split them off a folder without a test part: then only a training on that folder, with
            the same seed, has held them out.
        left_out: number of files in its folders that are not used, by kind.
    """

    name: str
    classes: tuple[str, ...]
    pictures: Pictures
    is_cut: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

    def for_classes(self, wanted: tuple[str, ...]) -> Pictures:
        """Return the pictures, labelled with the indices of `wanted`.

        Raises:
            UserError: a class is not among those wanted.
        """
        unknown = [name for name in self.classes if name not in wanted]
        if unknown:
            rest = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            known = ", ".join(wanted[:5]) + (", .." if len(wanted) > 5 else "")  # noqa: PLR2004 (a line's worth)
            raise UserError(
                f"'{self.name}' has the class '{unknown[0]}'{rest}, which the bundle does not know; it knows {known}"
            )
        indices = np.array([wanted.index(name) for name in self.classes], dtype=np.int64)
        return self.pictures.relabelled(indices[self.pictures.labels])


def _class_folders(data: str, root: Path | None) -> tuple[Path, str | None] | None:
    """Return the folder of class folders, and its name if it has one; None for the published files of a named set."""
    if data not in NAMED:
        if root is not None:
            raise UserError(
                f"--root goes with a named data set ({', '.join(sorted(NAMED))}), not with the folder '{data}'"
            )
        folder = Path(data)
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder or data set ({', '.join(sorted(NAMED))})")
        return folder, None
    for folder in [root, root / data] if root is not None else [Path(data)]:
        if has_class_folders(folder):
            return folder, data
    return None


def load(data: str, root: Path | None = None, seed: int = 0, *, is_check: bool = False) -> Dataset:
    """Return a data set by its name, or a folder of class folders.

    Args:
        data: a name, or a folder.
        root: folder of a named data set: its files as published, or train/CLASS and test/CLASS.
        seed: random seed of the splits that neither the authors nor the folder define.
        is_check: classes with too few pictures, or none, are no error but `problems` of the data set.

    Raises:
        UserError: there is no such data set, or its files cannot be used.
    """
    found = _class_folders(data, root)
    dataset = NAMED[data](root, seed) if found is None else picture_folder(found[0], seed, found[1], is_check=is_check)
    for part, pictures in (("train", dataset.train), ("test", dataset.test)):
        if not len(pictures):
            raise UserError(f"'{dataset.name}': its part '{part}' has no pictures")
    return dataset


def load_evaluation_set(
    data: str, root: Path | None = None, seed: int = 0, *, everything: bool = False
) -> EvaluationSet:
    """Return the pictures to evaluate a bundle on: held-out ones, or all.

    Args:
        data: a name, or a folder of class folders, or one with `test` or `train` inside.
        root: folder of a named data set.
        seed: random seed of the split; must be the training's, or pictures that were trained on are included.
        everything: return all pictures, including those that were trained on.

    Raises:
        UserError: there is no such data set, or its files cannot be used.
    """
    found = _class_folders(data, root)
    if found is not None:
        folder, name = found
        classes, pictures, left_out = load_evaluation_folder(folder, seed, everything=everything)
        is_cut = not everything and "test" not in parts_in(folder)
        return EvaluationSet(name or folder.resolve().name, classes, pictures, is_cut, left_out)
    dataset = load(data, root, seed)
    pictures = dataset.everything() if everything else dataset.test
    return EvaluationSet(dataset.name, dataset.classes, pictures, left_out=dataset.left_out)
