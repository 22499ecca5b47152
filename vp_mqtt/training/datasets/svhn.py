"""SVHN, cropped digits, from the MATLAB files that its authors publish."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets.matlab import read_mat, to_integers
from vp_mqtt.training.datasets.pictures import ArrayPictures, Dataset
from vp_mqtt.training.datasets.published import Published, to_labels
from vp_mqtt.training.datasets.split import VALIDATION_SHARE, cut_off

SVHN_CLASSES = tuple(str(digit) for digit in range(10))

_PUBLISHED = Published(
    "SVHN", "train_32x32.mat and test_32x32.mat", "http://ufldl.stanford.edu/housenumbers/", ("svhn", "SVHN")
)
_FILES = ("train_32x32.mat", "test_32x32.mat")
_NAMED_TEN = 10  # the label of the digit 0
_DIMENSIONS = 4


def _read(file: Path) -> ArrayPictures:
    pictures, digits = read_mat(file, ("X", "y"))
    if pictures.ndim != _DIMENSIONS or pictures.shape[2] != 3 or pictures.dtype != np.uint8:  # noqa: PLR2004 (channels)
        raise UserError(f"{file}: X has shape {pictures.shape}, not (32, 32, 3, N); download the file again")
    numbers = to_integers(digits, file)
    if len(numbers) != pictures.shape[3]:
        raise UserError(f"{file}: pictures and labels do not belong together; download the file again")
    labels = to_labels(np.where(numbers == _NAMED_TEN, 0, numbers), len(SVHN_CLASSES), file)
    return ArrayPictures(np.ascontiguousarray(pictures.transpose(3, 0, 1, 2)), labels, str(file))


def svhn(root: Path | None, seed: int) -> Dataset:
    """Return SVHN (Netzer et al. 2011): 73,257 + 26,032 house number digits of 32x32; `extra_32x32.mat` is not used.

    Args:
        root: folder with the files.
        seed: random seed of the split into training and validation part.

    Raises:
        UserError: a file is missing or not of the published format.
    """
    folder = _PUBLISHED.find(root, _FILES)
    if folder is None:
        raise _PUBLISHED.missing(root, " and ".join(_FILES))
    train, validation = cut_off(_read(folder / _FILES[0]), VALIDATION_SHARE, seed)
    return Dataset("svhn", SVHN_CLASSES, train, validation, _read(folder / _FILES[1]))
