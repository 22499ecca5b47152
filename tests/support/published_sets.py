"""Tiny copies of published data sets, file by file in the formats of their authors."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

SIDE = 32


def colours(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return pictures, shape (count, 32, 32, 3), red, green, blue; each its own."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def planes(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures as CIFAR has them: 1024 red, 1024 green, 1024 blue values in a row."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).reshape(len(pictures), -1)


_PurePickler: Any = vars(pickle)["_Pickler"]  # unlike the one in C, it can be taught


class _Python2Pickler(_PurePickler):  # type: ignore[misc]
    """Writes what Python 2's cPickle wrote, protocol 2: byte strings, and numpy's modules as they were called then."""

    dispatch: ClassVar[dict[type, Any]] = dict(_PurePickler.dispatch)

    def _save_string(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)

    dispatch[str] = _save_string
    dispatch[bytes] = _save_string

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name or obj.__qualname__}\n".encode())
        self.memoize(obj)

    dispatch[type(colours)] = save_global


def python2_pickle(content: object) -> bytes:
    """Return an object as Python 2 pickled it."""
    written = io.BytesIO()
    _Python2Pickler(written, 2).dump(content)
    return written.getvalue()


CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR100_NAMES = [f"thing {n}" for n in range(100)]


def write_cifar10_binary(folder: Path, per_batch: int = 20) -> Path:
    folder.mkdir(parents=True)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_NAMES) + "\n\n", encoding="ascii")
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        labels = np.arange(per_batch, dtype=np.uint8)[:, np.newaxis] % 10
        rows = np.concatenate([labels, planes(colours(per_batch, number))], axis=1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    return folder


def write_cifar10_python(folder: Path, per_batch: int = 20) -> Path:
    folder.mkdir(parents=True)
    meta = {"label_names": CIFAR10_NAMES, "num_cases_per_batch": per_batch, "num_vis": 3072}
    (folder / "batches.meta").write_bytes(python2_pickle(meta))
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        batch = {
            "batch_label": f"training batch {number + 1} of 5",
            "labels": [label % 10 for label in range(per_batch)],
            "data": planes(colours(per_batch, number)),
            "filenames": [f"picture_{n}.png" for n in range(per_batch)],
        }
        (folder / name).write_bytes(python2_pickle(batch))
    return folder


def write_cifar100_binary(folder: Path, train: int = 300, test: int = 100) -> Path:
    folder.mkdir(parents=True)
    (folder / "coarse_label_names.txt").write_text("\n".join(f"group {n}" for n in range(20)), encoding="ascii")
    (folder / "fine_label_names.txt").write_text("\n".join(CIFAR100_NAMES) + "\n", encoding="ascii")
    for name, count, seed in (("train", train, 0), ("test", test, 1)):
        fine = np.arange(count, dtype=np.uint8)[:, np.newaxis] % 100
        (folder / f"{name}.bin").write_bytes(
            np.concatenate([fine // 5, fine, planes(colours(count, seed))], axis=1).tobytes()
        )
    return folder


def write_cifar100_python(folder: Path, train: int = 300, test: int = 100) -> Path:
    folder.mkdir(parents=True)
    meta = {"fine_label_names": CIFAR100_NAMES, "coarse_label_names": [f"group {n}" for n in range(20)]}
    (folder / "meta").write_bytes(python2_pickle(meta))
    for name, count, seed in (("train", train, 0), ("test", test, 1)):
        fine = [n % 100 for n in range(count)]
        batch = {
            "filenames": [f"picture_{n}.png" for n in range(count)],
            "batch_label": f"{name}ing batch 1 of 1",
            "fine_labels": fine,
            "coarse_labels": [label // 5 for label in fine],
            "data": planes(colours(count, seed)),
        }
        (folder / name).write_bytes(python2_pickle(batch))
    return folder


def write_svhn(folder: Path, train: int = 40, test: int = 20) -> Path:
    folder.mkdir(parents=True)
    for name, count, seed in (("train", train, 0), ("test", test, 1)):
        digits = (np.arange(count, dtype=np.uint8) % 10 + 1)[:, np.newaxis]  # 10 is the digit 0
        content = {"X": colours(count, seed).transpose(1, 2, 3, 0), "y": digits}
        savemat(folder / f"{name}_32x32.mat", content, do_compression=True)
    return folder


def write_jpeg(file: Path, seed: int) -> None:
    """Write a picture of its own, 40 x 30 pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    cv2.imwrite(str(file), cv2.resize(small, (40, 30)))


def write_food101(folder: Path, classes: int = 3, train: int = 6, test: int = 2) -> Path:
    names = ["apple_pie", "baby_back_ribs", "waffles"][:classes]
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (folder / "meta" / "labels.txt").write_text("\n".join(n.replace("_", " ").capitalize() for n in names))
    for part, first, count in (("train", 100, train), ("test", 900, test)):
        listed = [f"{name}/{first + n}" for name in names for n in range(count)]
        (folder / "meta" / f"{part}.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")
        for seed, line in enumerate(listed):
            write_jpeg(folder / "images" / f"{line}.jpg", first + seed)
    return folder


BREEDS = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02099429-curly-coated_retriever")


def write_stanford_dogs(folder: Path, train: int = 6, test: int = 2) -> Path:
    folder.mkdir(parents=True)
    for part, first, count in (("train", 100, train), ("test", 900, test)):
        names = [f"{breed}/{breed.split('-')[0]}_{first + n}.jpg" for breed in BREEDS for n in range(count)]
        for seed, name in enumerate(names):
            write_jpeg(folder / "Images" / name, first + seed)
        cells = np.empty((len(names), 1), dtype=object)
        cells[:, 0] = names
        annotations = np.empty((len(names), 1), dtype=object)
        annotations[:, 0] = [name.removesuffix(".jpg") for name in names]
        labels = np.repeat(np.arange(1.0, len(BREEDS) + 1), count)[:, np.newaxis]
        savemat(folder / f"{part}_list.mat", {"file_list": cells, "annotation_list": annotations, "labels": labels})
    return folder


def write_flowers102(folder: Path) -> Path:
    """Write 102 classes with one picture in each part."""
    folder.mkdir(parents=True)
    count = 3 * 102
    for number in range(1, count + 1):
        write_jpeg(folder / "jpg" / f"image_{number:05d}.jpg", number)
    numbers = np.arange(1, count + 1, dtype=np.uint16)
    savemat(folder / "imagelabels.mat", {"labels": ((numbers - 1) // 3 + 1).astype(np.uint8)[np.newaxis]})
    parts = {name: numbers[start::3][np.newaxis] for start, name in enumerate(("trnid", "valid", "tstid"))}
    savemat(folder / "setid.mat", parts)
    return folder


def write_caltech101(folder: Path, per_class: int = 12) -> Path:
    for number, name in enumerate(("BACKGROUND_Google", "Faces", "accordion", "sea_horse")):
        for n in range(1, per_class + 1):
            write_jpeg(folder / "101_ObjectCategories" / name / f"image_{n:04d}.jpg", 100 * number + n)
    return folder
