"""Pictures to learn from: folders of class folders, and named sets in the files that their authors publish."""

from __future__ import annotations

import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import PICTURE_SUFFIXES, Picture, PictureError, decode

VALIDATION_SHARE = 1 / 12
TEST_SHARE = 1 / 6

FASHION_MNIST_ROOT = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_CLASSES = (
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_IDX_UINT8 = 8
_LEAST_CLASSES = 2

Labels = NDArray[np.int64]


class Pictures(ABC):
    """Labelled pictures.

    Attributes:
        labels: class indices, shape (N,), int64.
    """

    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def picture(self, index: int) -> Picture:
        """Return a picture, shape (height, width, 3), uint8, blue, green, red.

        Raises:
            UserError: it cannot be read.
        """

    @abstractmethod
    def subset(self, indices: NDArray[np.intp]) -> Pictures:
        """Return those with these indices."""


class GreyArray(Pictures):
    """Grey pictures of one size, in memory."""

    def __init__(self, pictures: NDArray[np.uint8], labels: Labels) -> None:
        """Take pictures, shape (N, height, width), uint8, and labels, shape (N,), int64."""
        self._pictures = pictures
        self.labels = labels

    def picture(self, index: int) -> Picture:
        """Return a picture with three equal channels."""
        return np.repeat(self._pictures[index][..., np.newaxis], 3, axis=2)

    def subset(self, indices: NDArray[np.intp]) -> GreyArray:
        """Return those with these indices."""
        return GreyArray(self._pictures[indices], self.labels[indices])


class PictureFiles(Pictures):
    """Pictures in files, decoded when they are asked for."""

    def __init__(self, files: Sequence[Path], labels: Labels) -> None:
        """Take files, and labels, shape (N,), int64."""
        self._files = files
        self.labels = labels

    def picture(self, index: int) -> Picture:
        """Return a picture.

        Raises:
            UserError: it cannot be read.
        """
        file = self._files[index]
        try:
            return decode(file.read_bytes())
        except (OSError, PictureError) as error:
            raise UserError(f"{file}: {error}; mend the picture or take it away") from None

    def subset(self, indices: NDArray[np.intp]) -> PictureFiles:
        """Return those with these indices."""
        return PictureFiles([self._files[i] for i in indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """A set of pictures, split.

    Attributes:
        name: of the set, for people.
        classes: class names by index.
        train: to learn from.
        validation: to choose by.
        test: to judge by, and for nothing else.
    """

    name: str
    classes: tuple[str, ...]
    train: Pictures
    validation: Pictures
    test: Pictures


def stratified_split(labels: Labels, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of (the rest, a part) where the part holds `share` of each class.

    Of a class with at least two members, both the rest and the part get at least one.

    Args:
        labels: shape (N,), int64.
        share: 0..1.
        seed: the same seed gives the same split.
    """
    rng = np.random.default_rng(seed)
    part = []
    for index in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == index))
        part.append(members[: min(max(1, round(len(members) * share)), len(members) - 1)])
    chosen = np.sort(np.concatenate(part))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes, the format of MNIST and Fashion-MNIST.

    Raises:
        UserError: the file is missing, or not of this format.
    """
    try:
        with gzip.open(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not a gzipped IDX file'}") from None
    dimensions = data[3] if len(data) > 3 else 0  # noqa: PLR2004 (the fourth byte)
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, header, 4))
    if data[:2] != b"\0\0" or data[2:3] != bytes([_IDX_UINT8]) or len(data) - header != int(np.prod(shape)):
        raise UserError(f"{path}: not an IDX file of unsigned bytes")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def fashion_mnist(root: Path | None, seed: int) -> Dataset:
    """Return Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 60,000 + 10,000 grey pictures of 28x28, 10 classes.

    Args:
        root: folder with the four published files; by default where Debian's `dataset-fashion-mnist` puts them.
        seed: of the split into training and validation part.

    Raises:
        UserError: a file is missing or not of the published format.
    """
    folder = root or FASHION_MNIST_ROOT
    if not folder.is_dir():
        raise UserError(
            f"no Fashion-MNIST in {folder}: `apt-get install dataset-fashion-mnist`, or name it with --root"
        )
    parts = {}
    for part in ("train", "t10k"):
        pictures = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
        if pictures.ndim != 3 or labels.shape != pictures.shape[:1]:  # noqa: PLR2004 (N, height, width)
            raise UserError(f"{folder}: pictures and labels of '{part}' do not belong together")
        if labels.size and labels.max() >= len(FASHION_MNIST_CLASSES):
            raise UserError(f"{folder}: a label of '{part}' is not one of the ten classes")
        parts[part] = GreyArray(pictures, labels)
    rest, validation = stratified_split(parts["train"].labels, VALIDATION_SHARE, seed)
    return Dataset(
        "fashion-mnist",
        FASHION_MNIST_CLASSES,
        parts["train"].subset(rest),
        parts["train"].subset(validation),
        parts["t10k"],
    )


def _class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read_part(folder: Path, classes: Sequence[str]) -> PictureFiles:
    files: list[Path] = []
    labels: list[int] = []
    for index, name in enumerate(classes):
        found = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        if not found:
            raise UserError(f"{folder / name}: no pictures in this class folder")
        files += found
        labels += [index] * len(found)
    return PictureFiles(files, np.array(labels, dtype=np.int64))


def picture_folder(folder: Path, seed: int) -> Dataset:
    """Return a folder of class folders, with train, val and test inside or split here (stratified, seeded).

    Raises:
        UserError: no such folder, fewer than two classes, or a class without pictures.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder, nor a data set of this name ({', '.join(sorted(NAMED))})")
    has_parts = (folder / "train").is_dir()
    classes = tuple(path.name for path in _class_folders(folder / "train" if has_parts else folder))
    if len(classes) < _LEAST_CLASSES:
        raise UserError(f"{folder}: {len(classes)} class folder(s); a family needs at least two classes to tell apart")
    train: Pictures = _read_part(folder / "train" if has_parts else folder, classes)
    if has_parts and (folder / "test").is_dir():
        test: Pictures = _read_part(folder / "test", classes)
    else:
        rest, part = stratified_split(train.labels, TEST_SHARE, seed)
        train, test = train.subset(rest), train.subset(part)
    if has_parts and (folder / "val").is_dir():
        validation: Pictures = _read_part(folder / "val", classes)
    else:
        rest, part = stratified_split(train.labels, VALIDATION_SHARE, seed)
        train, validation = train.subset(rest), train.subset(part)
    for index, name in enumerate(classes):
        if not all((part.labels == index).any() for part in (train, validation, test)):
            raise UserError(f"{folder}: too few pictures of '{name}' to split; give every class at least three")
    return Dataset(folder.resolve().name, classes, train, validation, test)


NAMED: dict[str, Callable[[Path | None, int], Dataset]] = {"fashion-mnist": fashion_mnist}


def load(data: str, root: Path | None = None, seed: int = 0) -> Dataset:
    """Return a data set by its name, or a folder of class folders.

    Raises:
        UserError: there is no such set, or its files are not usable.
    """
    if data in NAMED:
        return NAMED[data](root, seed)
    if root is not None:
        raise UserError(f"--root goes with a named data set ({', '.join(sorted(NAMED))}), not with the folder '{data}'")
    return picture_folder(Path(data), seed)
