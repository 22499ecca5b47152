"""Fashion-MNIST, from the four gzipped IDX files that its authors publish and that Debian packages."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets.pictures import ArrayPictures, Dataset
from vp_mqtt.training.datasets.published import to_labels
from vp_mqtt.training.datasets.split import VALIDATION_SHARE, cut_off

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

_FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_PAGE = "https://github.com/zalandoresearch/fashion-mnist"
_IDX_UINT8 = 8


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
        seed: random seed of the split into training and validation part.

    Raises:
        UserError: a file is missing or not of the published format.
    """
    folder = root or FASHION_MNIST_ROOT
    _check_complete(folder, is_given=root is not None)
    parts = {}
    for part in ("train", "t10k"):
        pictures = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
        file = folder / f"{part}-labels-idx1-ubyte.gz"
        labels = to_labels(read_idx(file), len(FASHION_MNIST_CLASSES), file)
        if pictures.ndim != 3 or labels.shape != pictures.shape[:1]:  # noqa: PLR2004 (N, height, width)
            raise UserError(f"{folder}: pictures and labels of '{part}' do not belong together")
        parts[part] = ArrayPictures(pictures, labels, f"{folder / part}-images-idx3-ubyte.gz")
    train, validation = cut_off(parts["train"], VALIDATION_SHARE, seed)
    return Dataset("fashion-mnist", FASHION_MNIST_CLASSES, train, validation, parts["t10k"])


def _check_complete(folder: Path, *, is_given: bool) -> None:
    missing = [name for name in _FILES if not (folder / name).exists()]
    if not missing:
        return
    if not is_given:
        remedy = "or name the folder with its four files with --root"
        raise UserError(f"no Fashion-MNIST in {folder}: `apt-get install dataset-fashion-mnist`, {remedy}")
    what = f"no Fashion-MNIST there ({missing[0]} is missing)" if folder.is_dir() else "no such folder"
    raise UserError(
        f"--root {folder}: {what}; put its four files from {_PAGE} there, or `apt-get install dataset-fashion-mnist` "
        "and leave out --root"
    )
