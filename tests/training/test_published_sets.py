from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from tests.support import published_sets
from tests.support.published_sets import BREEDS, CIFAR10_NAMES, CIFAR100_NAMES, colours
from tests.support.training_data import write_class_folders
from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.inference.pictures import Picture, decode
from vp_mqtt.training.datasets import NAMED, Dataset, Pictures, load
from vp_mqtt.training.datasets.flowers102 import FLOWERS102_CLASSES
from vp_mqtt.training.datasets.plain_pickle import read_plain_pickle

WRITERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "caltech101": (published_sets.write_caltech101, "caltech-101"),
    "cifar10": (published_sets.write_cifar10_binary, "cifar-10-batches-bin"),
    "cifar100": (published_sets.write_cifar100_python, "cifar-100-python"),
    "flowers102": (published_sets.write_flowers102, "flowers-102"),
    "food101": (published_sets.write_food101, "food-101"),
    "stanford-dogs": (published_sets.write_stanford_dogs, "stanford-dogs"),
    "svhn": (published_sets.write_svhn, "svhn"),
}


def all_pictures(pictures: Pictures) -> list[Picture]:
    return [pictures.picture(index) for index in range(len(pictures))]


def as_rgb(picture: Picture) -> Picture:
    return np.asarray(picture[..., ::-1])


def check_split(dataset: Dataset, counts: tuple[int, int, int]) -> None:
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == counts
    seen = [{p.tobytes() for p in all_pictures(part)} for part in (dataset.train, dataset.validation, dataset.test)]
    assert [len(one) for one in seen] == list(counts)
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


@pytest.mark.parametrize("write", [published_sets.write_cifar10_binary, published_sets.write_cifar10_python])
def test_cifar10_in_both_versions(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    dataset = load("cifar10", write(tmp_path / "cifar"))
    assert dataset.classes == tuple(CIFAR10_NAMES)
    check_split(dataset, (90, 10, 20))
    assert dataset.test.labels.tolist() == [n % 10 for n in range(20)]
    for index, picture in enumerate(colours(20, seed=5)):
        assert (as_rgb(dataset.test.picture(index)) == picture).all()


@pytest.mark.parametrize("write", [published_sets.write_cifar100_binary, published_sets.write_cifar100_python])
def test_cifar100_in_both_versions_has_the_fine_labels(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    dataset = load("cifar100", write(tmp_path / "cifar"))
    assert dataset.classes == tuple(CIFAR100_NAMES)
    check_split(dataset, (200, 100, 100))
    assert dataset.test.labels.tolist() == list(range(100))
    assert (as_rgb(dataset.test.picture(7)) == colours(100, seed=1)[7]).all()


def test_svhn_calls_the_digit_ten_zero(tmp_path: Path) -> None:
    dataset = load("svhn", published_sets.write_svhn(tmp_path / "svhn"))
    assert dataset.classes == tuple("0123456789")
    check_split(dataset, (30, 10, 20))
    assert dataset.test.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2
    assert (as_rgb(dataset.test.picture(3)) == colours(20, seed=1)[3]).all()


def test_food101_goes_by_its_lists(tmp_path: Path) -> None:
    dataset = load("food101", published_sets.write_food101(tmp_path / "food-101"))
    assert dataset.classes == ("apple_pie", "baby_back_ribs", "waffles")
    check_split(dataset, (15, 3, 6))
    assert dataset.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert dataset.test.where(5).endswith("images/waffles/901.jpg")


@pytest.mark.parametrize("lists", [".", "lists"])
def test_stanford_dogs_goes_by_its_lists(tmp_path: Path, lists: str) -> None:
    root = published_sets.write_stanford_dogs(tmp_path / "dogs")
    (root / lists).mkdir(exist_ok=True)
    for file in root.glob("*.mat"):
        file.rename(root / lists / file.name)
    dataset = load("stanford-dogs", root)
    assert dataset.classes == ("Chihuahua", "Japanese_spaniel", "curly-coated_retriever")
    check_split(dataset, (15, 3, 6))
    assert dataset.test.where(2).endswith(f"Images/{BREEDS[1]}/n02085782_900.jpg")
    assert dataset.test.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_flowers102_has_its_authors_split(tmp_path: Path) -> None:
    dataset = load("flowers102", published_sets.write_flowers102(tmp_path / "flowers"))
    assert dataset.classes == FLOWERS102_CLASSES
    assert (len(set(FLOWERS102_CLASSES)), FLOWERS102_CLASSES[0], FLOWERS102_CLASSES[101]) == (
        102,
        "pink primrose",
        "blackberry lily",
    )
    check_split(dataset, (102, 102, 102))
    for part, first in ((dataset.train, 1), (dataset.validation, 2), (dataset.test, 3)):
        assert part.labels.tolist() == list(range(102))
        assert part.where(1).endswith(f"jpg/image_{first + 3:05d}.jpg")


def test_caltech101_without_its_background(tmp_path: Path) -> None:
    root = published_sets.write_caltech101(tmp_path / "caltech-101")
    dataset = load("caltech101", root)
    assert dataset.classes == ("Faces", "accordion", "sea_horse")
    check_split(dataset, (27, 3, 6))
    again = load("caltech101", root / "101_ObjectCategories")
    assert [again.test.where(i) for i in range(6)] == [dataset.test.where(i) for i in range(6)]
    other = load("caltech101", root, seed=1)
    assert [other.test.where(i) for i in range(6)] != [dataset.test.where(i) for i in range(6)]


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_the_folder_above_will_do_as_root(tmp_path: Path, name: str) -> None:
    write, folder = WRITERS[name]
    inside = load(name, write(tmp_path / folder))
    above = load(name, tmp_path)
    assert above.name == inside.name == name
    assert [above.test.where(i) for i in range(5)] == [inside.test.where(i) for i in range(5)]


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_missing_set_says_what_to_download(tmp_path: Path, name: str) -> None:
    for root in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"http") as told:
            load(name, root)
        assert "--root" in str(told.value)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_named_set_is_read_from_class_folders_too(tmp_path: Path, name: str) -> None:
    for part, count in (("train", 12), ("test", 2)):
        write_class_folders(tmp_path / name / part, per_class=count)
    for root in (tmp_path, tmp_path / name):
        dataset = load(name, root)
        assert dataset.name == name
        assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (33, 3, 6)


def test_a_named_folder_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        write_class_folders(tmp_path / "caltech101" / part)
    monkeypatch.chdir(tmp_path)
    assert load("caltech101").classes == ("class 0", "class 1", "class 2")


def test_pickles_run_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    root = published_sets.write_cifar10_python(tmp_path / "cifar")
    (root / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))
    with pytest.raises(UserError, match=r"data_batch_3: not a pickle of plain values \(names builtins.exec\)"):
        load("cifar10", root)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("module", ["os.system", "builtins.getattr", "numpy.load", "numpy.core.multiarray.scalar"])
def test_pickles_name_nothing_but_arrays(tmp_path: Path, module: str) -> None:
    package, _, name = module.rpartition(".")
    (tmp_path / "pickle").write_bytes(f"c{package}\n{name}\n.".encode())
    with pytest.raises(UserError, match="plain values"):
        read_plain_pickle(tmp_path / "pickle")


@pytest.mark.parametrize(
    ("name", "file", "content", "says"),
    [
        ("cifar10", "data_batch_2.bin", b"x" * 3072, "not a multiple of 3073"),
        ("cifar10", "test_batch.bin", b"", "0 bytes"),
        ("cifar10", "test_batch.bin", b"\x0a" + bytes(3072), "not one of the 10 classes"),
        ("cifar10", "batches.meta.txt", b"airplane\n", "1 class names instead of 10"),
        ("cifar100", "train", b"", "not a pickle"),
        ("cifar100", "train", published_sets.python2_pickle([1, 2]), "not a batch"),
        ("cifar100", "train", published_sets.python2_pickle({"data": 1, "fine_labels": [1]}), "not a batch"),
        (
            "cifar100",
            "meta",
            published_sets.python2_pickle({"fine_label_names": ["a"]}),
            "1 class names instead of 100",
        ),
        ("svhn", "train_32x32.mat", b"MATLAB 5.0 MAT-file" + bytes(200), "MATLAB"),
        ("food101", "meta/train.txt", b"cake/1\n", "'cake/1' is not CLASS/NUMBER"),
        ("food101", "meta/train.txt", b"", "lists no pictures"),
        ("food101", "meta/test.txt", b"waffles/5\n", r"waffles/5\.jpg: missing"),
        ("food101", "meta/classes.txt", b"\xff\xfe", "not a text file"),
        ("stanford-dogs", "test_list.mat", b"nothing", "MATLAB"),
        ("flowers102", "setid.mat", b"", "MATLAB|cannot be read"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, file: str, content: bytes, says: str) -> None:
    root = WRITERS[name][0](tmp_path / "data")
    (root / file).write_bytes(content)
    with pytest.raises(UserError, match=says) as told:
        load(name, root)
    assert Path(file).name in str(told.value) or "missing" in str(told.value)


def test_matlab_files_with_other_content_are_refused(tmp_path: Path) -> None:
    root = published_sets.write_svhn(tmp_path / "svhn")
    for content, says in (
        ({"X": colours(4)}, "has no 'y'"),
        ({"X": colours(4), "y": np.ones((4, 1))}, "not \\(32, 32, 3, N\\)"),
        ({"X": colours(4).transpose(1, 2, 3, 0), "y": np.ones((3, 1))}, "do not belong together"),
        ({"X": colours(4).transpose(1, 2, 3, 0), "y": np.full((4, 1), 1.5)}, "whole numbers"),
        ({"X": colours(4).transpose(1, 2, 3, 0), "y": np.full((4, 1), 11)}, "not one of the 10 classes"),
    ):
        savemat(root / "train_32x32.mat", content)
        with pytest.raises(UserError, match=says):
            load("svhn", root)
    dogs = published_sets.write_stanford_dogs(tmp_path / "dogs")
    savemat(dogs / "train_list.mat", {"file_list": np.array([["../../etc/passwd"]], dtype=object), "labels": [[1]]})
    with pytest.raises(UserError, match="not a list of Stanford Dogs"):
        load("stanford-dogs", dogs)
    flowers = published_sets.write_flowers102(tmp_path / "flowers")
    savemat(flowers / "setid.mat", {"trnid": [[999]], "valid": [[1]], "tstid": [[2]]})
    with pytest.raises(UserError, match="without a label"):
        load("flowers102", flowers)


def test_pictures_in_files_and_in_memory_look_alike(tmp_path: Path) -> None:
    root = published_sets.write_cifar10_binary(tmp_path / "cifar")
    in_memory = load("cifar10", root).test
    file = tmp_path / "picture.png"
    cv2.imwrite(str(file), in_memory.picture(0))
    np.testing.assert_array_equal(decode(file.read_bytes(), formats=FILES), in_memory.picture(0))
    assert (colours(20, seed=5)[0][..., 0] == in_memory.picture(0)[..., 2]).all()


def test_matlab_files_without_scipy_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = published_sets.write_svhn(tmp_path / "svhn")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UserError, match=r"pip install scipy"):
        load("svhn", root)


def test_every_truncated_pickle_is_refused(tmp_path: Path) -> None:
    content = published_sets.python2_pickle({"data": np.zeros((2, 4), np.uint8), "labels": [1, 2]})
    file = tmp_path / "truncated"
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(UserError, match="truncated: not a pickle of plain values"):
            read_plain_pickle(file)
    file.write_bytes(content)
    assert read_plain_pickle(file)[b"labels"] == [1, 2]
