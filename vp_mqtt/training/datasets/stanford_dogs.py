"""Stanford Dogs, from the folder `Images` and the lists in MATLAB files that its authors publish."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets.matlab import read_mat, to_integers
from vp_mqtt.training.datasets.pictures import Dataset, PictureFiles
from vp_mqtt.training.datasets.published import Published, listed_files
from vp_mqtt.training.datasets.split import VALIDATION_SHARE, cut_off

_PUBLISHED = Published(
    "Stanford Dogs",
    "images.tar and lists.tar",
    "http://vision.stanford.edu/aditya86/ImageNetDogs/",
    ("stanford-dogs", "StanfordDogs"),
)
_LISTS = ("train_list.mat", "test_list.mat")


def _read_list(file: Path) -> tuple[list[str], list[int]]:
    cells, numbers = read_mat(file, ("file_list", "labels"))
    names = [str(cell.item()) if isinstance(cell, np.ndarray) and cell.size == 1 else "" for cell in cells.reshape(-1)]
    labels = (to_integers(numbers, file) - 1).tolist()
    # Names that would lead outside the folder of pictures are refused.
    if len(names) != len(labels) or not all(name.count("/") == 1 and ".." not in name for name in names):
        raise UserError(f"{file}: not a list of Stanford Dogs; download the file again")
    return names, labels


def _breeds(names: list[str], labels: list[int], file: Path) -> dict[int, str]:
    # n02085620-Chihuahua/n02085620_5927.jpg: the number is WordNet's.
    breeds = {label: name.split("/")[0].partition("-")[2] for name, label in zip(names, labels, strict=True)}
    if sorted(breeds) != list(range(len(breeds))) or len(set(breeds.values())) != len(breeds):
        raise UserError(f"{file}: classes are missing or named twice; download the file again")
    return breeds


def stanford_dogs(root: Path | None, seed: int) -> Dataset:
    """Return Stanford Dogs (Khosla et al. 2011): 12,000 + 8,580 pictures of 120 breeds.

    The class names are the folders' without WordNet's number: `Chihuahua` for `n02085620-Chihuahua`.

    Args:
        root: folder with `Images` and the lists, which may be in `lists`.
        seed: random seed of the split into training and validation part.

    Raises:
        UserError: a file is missing or not of the published format.
    """
    for inside in (".", "lists"):
        folder = _PUBLISHED.find(root, ("Images", *(f"{inside}/{name}" for name in _LISTS)))
        if folder is not None:
            break
    else:
        raise _PUBLISHED.missing(root, "Images, train_list.mat, test_list.mat")
    parts: list[PictureFiles] = []
    breeds: dict[int, str] = {}
    for name in _LISTS:
        file = folder / inside / name
        names, labels = _read_list(file)
        own = _breeds(names, labels, file)
        breeds = breeds or own
        if own != breeds:
            raise UserError(f"{file}: its classes are not those of {_LISTS[0]}; download the lists again")
        files = [folder / "Images" / listed for listed in names]
        parts.append(listed_files(files, np.array(labels, dtype=np.int64), file))
    train, validation = cut_off(parts[0], VALIDATION_SHARE, seed)
    return Dataset("stanford-dogs", tuple(breeds[i] for i in range(len(breeds))), train, validation, parts[1])
