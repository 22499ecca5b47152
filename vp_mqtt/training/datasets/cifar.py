"""CIFAR-10 and CIFAR-100, from the binary version or the Python version that their author publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets.pictures import ArrayPictures, Dataset
from vp_mqtt.training.datasets.plain_pickle import read_plain_pickle
from vp_mqtt.training.datasets.published import Published, read_lines, to_labels
from vp_mqtt.training.datasets.split import VALIDATION_SHARE, cut_off

_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_CHANNELS, _SIDE = 3, 32
_PIXELS = _CHANNELS * _SIDE * _SIDE


@dataclass(frozen=True)
class _Version:
    """The files of one of the two versions.

    Attributes:
        train: names of the training files.
        test: name of the test file.
        names: name of the file with the class names.
        names_key: key of the class names in the Python version; None for the binary version.
        labels_key: key of the labels in the Python version.
        label_bytes: before every picture in the binary version; the last one is the class.
    """

    train: tuple[str, ...]
    test: str
    names: str
    names_key: bytes | None = None
    labels_key: bytes = b""
    label_bytes: int = 1

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test, self.names)


@dataclass(frozen=True)
class _Cifar:
    name: str
    classes: int
    published: Published
    versions: tuple[_Version, ...]


CIFAR10 = _Cifar(
    "cifar10",
    10,
    Published(
        "CIFAR-10", "cifar-10-binary.tar.gz or cifar-10-python.tar.gz", _PAGE,
        ("cifar-10-batches-bin", "cifar-10-batches-py"),
    ),
    (
        _Version(tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin", "batches.meta.txt"),
        _Version(
            tuple(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta", b"label_names", b"labels"
        ),
    ),
)  # fmt: skip
CIFAR100 = _Cifar(
    "cifar100",
    100,
    Published(
        "CIFAR-100", "cifar-100-binary.tar.gz or cifar-100-python.tar.gz", _PAGE,
        ("cifar-100-binary", "cifar-100-python"),
    ),
    (
        # Every picture has a coarse label (of 20) and a fine one (of 100), which is used.
        _Version(("train.bin",), "test.bin", "fine_label_names.txt", label_bytes=2),
        _Version(("train",), "test", "meta", b"fine_label_names", b"fine_labels"),
    ),
)  # fmt: skip


def _read_binary(file: Path, label_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        data = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    row = label_bytes + _PIXELS
    if not data.size or data.size % row:
        raise UserError(f"{file}: {data.size} bytes, not a multiple of {row}; download the file again")
    rows = data.reshape(-1, row)
    return rows[:, label_bytes:], rows[:, label_bytes - 1]


def _read_python(file: Path, labels_key: bytes) -> tuple[NDArray[np.uint8], Sequence[int]]:
    content = read_plain_pickle(file)
    data, labels = (content.get(b"data"), content.get(labels_key)) if isinstance(content, dict) else (None, None)
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.shape[1:] != (_PIXELS,)
        or not isinstance(labels, list)
        or len(labels) != len(data)
        or not all(isinstance(label, int) for label in labels)
    ):
        raise UserError(f"{file}: not a batch of CIFAR's Python version; download the file again")
    return data, labels


def _read_names(file: Path, key: bytes | None, classes: int) -> tuple[str, ...]:
    if key is None:
        names = read_lines(file)
    else:
        content = read_plain_pickle(file)
        raw = content.get(key) if isinstance(content, dict) else None
        names = [name.decode(errors="replace") for name in raw or [] if isinstance(name, bytes)]
    if len(names) != classes or len(set(names)) != classes:
        raise UserError(f"{file}: {len(names)} class names instead of {classes}; download the file again")
    return tuple(names)


def _read_pictures(folder: Path, files: Sequence[str], version: _Version, classes: int) -> ArrayPictures:
    pictures, labels = [], []
    for name in files:
        file = folder / name
        if version.names_key is None:
            data, values = _read_binary(file, version.label_bytes)
            labels.append(to_labels(values, classes, file))
        else:
            data, listed = _read_python(file, version.labels_key)
            labels.append(to_labels(listed, classes, file))
        # Planes of red, green and blue become pixels.
        pictures.append(data.reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1))
    source = str(folder / files[0]) if len(files) == 1 else f"{folder / files[0]} .. {files[-1]}"
    return ArrayPictures(np.concatenate(pictures), np.concatenate(labels), source)


def read_cifar(cifar: _Cifar, root: Path | None, seed: int) -> Dataset:
    """Return CIFAR-10 or CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 pictures of 32x32.

    Args:
        cifar: which of the two.
        root: folder with the files of either version, or that its archive was unpacked into.
        seed: random seed of the split into training and validation part.

    Raises:
        UserError: a file is missing or not of the published format.
    """
    for version in cifar.versions:
        folder = cifar.published.find(root, version.files)
        if folder is not None:
            names = _read_names(folder / version.names, version.names_key, cifar.classes)
            whole = _read_pictures(folder, version.train, version, cifar.classes)
            train, validation = cut_off(whole, VALIDATION_SHARE, seed)
            return Dataset(
                cifar.name,
                names,
                train,
                validation,
                _read_pictures(folder, (version.test,), version, cifar.classes),
            )
    raise cifar.published.missing(root, " or ".join(f"{v.train[0]} .. {v.names}" for v in cifar.versions))
