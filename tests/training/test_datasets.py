from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training_data import idx, write_class_folders, write_fashion_mnist
from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets import EvaluationSet, load, load_evaluation_set, stratified_split
from vp_mqtt.training.datasets.fashion_mnist import FASHION_MNIST_CLASSES, read_idx
from vp_mqtt.training.datasets.pictures import ArrayPictures
from vp_mqtt.training.datasets.samples import write_samples
from vp_mqtt.training.presets import known_families, load_family


def test_fashion_mnist_is_read_from_the_published_files(tmp_path: Path) -> None:
    dataset = load("fashion-mnist", write_fashion_mnist(tmp_path))
    assert dataset.classes == FASHION_MNIST_CLASSES
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (220, 20, 40)
    assert np.bincount(dataset.validation.labels).tolist() == [2] * 10
    picture = dataset.test.picture(3)
    assert picture.shape == (28, 28, 3)
    assert (picture[..., 0] == picture[..., 2]).all()


def test_no_picture_is_both_learned_from_and_validated_on(tmp_path: Path) -> None:
    dataset = load("fashion-mnist", write_fashion_mnist(tmp_path))
    train = {dataset.train.picture(i).tobytes() for i in range(len(dataset.train))}
    assert not train & {dataset.validation.picture(i).tobytes() for i in range(len(dataset.validation))}


def test_the_split_is_stratified_and_seeded() -> None:
    labels = np.repeat(np.arange(3), [100, 10, 1]).astype(np.int64)
    rest, part = stratified_split(labels, 0.2, seed=1)
    assert np.bincount(labels[part], minlength=3).tolist() == [20, 2, 0]
    assert np.bincount(labels[rest]).tolist() == [80, 8, 1]
    assert sorted([*rest, *part]) == list(range(111))
    assert (stratified_split(labels, 0.2, seed=1)[1] == part).all()
    assert (stratified_split(labels, 0.2, seed=2)[1] != part).any()


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.floats(0, 1),
    st.integers(0, 1000),
)
def test_a_split_takes_the_same_share_of_every_class(classes: list[int], share: float, seed: int) -> None:
    labels = np.array(classes, dtype=np.int64)
    rest, part = stratified_split(labels, share, seed)
    assert sorted([*rest.tolist(), *part.tolist()]) == list(range(len(labels)))
    for label in set(classes):
        members, taken = int((labels == label).sum()), int((labels[part] == label).sum())
        assert taken < members
        assert members == 1 or taken >= 1
        assert abs(taken - members * share) <= 1


@given(st.permutations(range(5)), st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_labels_follow_their_names(order: list[int], classes: list[int]) -> None:
    wanted = tuple(f"thing {n}" for n in order)
    evaluation_set = EvaluationSet("set", ("thing 0", "thing 1", "thing 2", "thing 3"), _blank(classes))
    labels = evaluation_set.for_classes(wanted).labels.tolist()
    assert [wanted[label] for label in labels] == [f"thing {n}" for n in classes]
    with pytest.raises(UserError, match=r"class 'thing 1' and 2 more, .* it knows thing 0"):
        evaluation_set.for_classes(("thing 0",))


def _blank(labels: list[int]) -> ArrayPictures:
    return ArrayPictures(np.zeros((len(labels), 2, 2), np.uint8), np.array(labels, dtype=np.int64), "nowhere")


@pytest.mark.parametrize(
    "content",
    [
        b"not gzip",
        gzip.compress(b""),
        gzip.compress(bytes(range(256)) * 8)[:30] + b"\xff" * 200,
        gzip.compress(b"\0\0\x08\x03" + bytes(12)) + b"x",
        gzip.compress(b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0"),
        gzip.compress(b"\0\0\x08\x01\0\0\0\x09" + bytes(3)),
        idx(np.zeros((2, 2), np.uint8))[:-8],
    ],
    # gzip writes the time into its header: ids made of the bytes would differ between the workers of pytest-xdist.
    ids=["no gzip", "empty", "damaged", "rubbish after", "floats", "short", "no tail"],
)
def test_a_broken_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.gz"):
        read_idx(tmp_path / "broken.gz")


def test_a_missing_set_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--root .*nowhere: no such folder; .*apt-get install dataset-fashion-mnist"):
        load("fashion-mnist", tmp_path / "nowhere")
    (write_fashion_mnist(tmp_path / "part") / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"--root .*part: .* \(t10k-labels-idx1-ubyte\.gz is missing\); put its four"):
        load("fashion-mnist", tmp_path / "part")
    monkeypatch.setattr("vp_mqtt.training.datasets.fashion_mnist.FASHION_MNIST_ROOT", tmp_path / "debian")
    with pytest.raises(UserError, match=r"no Fashion-MNIST in .*debian: `apt-get install .* with --root$"):
        load("fashion-mnist")


def test_a_folder_of_class_folders_is_split(tmp_path: Path) -> None:
    dataset = load(str(write_class_folders(tmp_path / "things")))
    assert dataset.name == "things"
    assert dataset.classes == ("class 0", "class 1", "class 2")
    assert np.bincount(dataset.test.labels).tolist() == [2] * 3
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 36
    assert dataset.train.picture(0).shape == (40, 40, 3)


def test_train_val_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("val", 2), ("test", 3)):
        write_class_folders(tmp_path / part, per_class=count)
    dataset = load(str(tmp_path))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (15, 6, 9)


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load(str(tmp_path / "nowhere"))
    write_class_folders(tmp_path / "one", classes=1)
    with pytest.raises(UserError, match="at least two classes"):
        load(str(tmp_path / "one"))
    write_class_folders(tmp_path / "empty")
    (tmp_path / "empty" / "class 9").mkdir()
    with pytest.raises(UserError, match=r"class 9: no pictures"):
        load(str(tmp_path / "empty"))
    write_class_folders(tmp_path / "few")
    for file in list((tmp_path / "few" / "class 1").iterdir())[2:]:
        file.unlink()
    with pytest.raises(UserError, match=r"class 1: too few pictures"):
        load(str(tmp_path / "few"))
    write_class_folders(tmp_path / "broken")
    for file in (tmp_path / "broken").rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(UserError, match="repair or remove it"):
        load(str(tmp_path / "broken")).train.picture(0)


def test_samples_are_test_pictures_by_class(tmp_path: Path) -> None:
    evaluation_set = load_evaluation_set("fashion-mnist", write_fashion_mnist(tmp_path / "data"))
    assert write_samples(evaluation_set, tmp_path / "samples", per_class=2) == 20
    with pytest.raises(UserError, match="there is something already; name a new folder"):
        write_samples(evaluation_set, tmp_path / "samples", per_class=3)
    files = sorted((tmp_path / "samples").rglob("*.png"))
    assert {file.parent.name for file in files} == set(FASHION_MNIST_CLASSES)
    for file in files:
        assert FASHION_MNIST_CLASSES[evaluation_set.pictures.labels[int(file.stem)]] == file.parent.name


def test_families_in_the_box() -> None:
    assert known_families() == ["base", "medium", "mixed", "narrow", "paper", "paper-7", "small"]
    paper = load_family("paper")
    assert [v.resolution for v in paper.variants] == [96, 128, 160, 192, 224, 256]
    assert [v.head for v in paper.variants] == [256, 320, 384, 448, 512, 576]
    assert paper.weights() == [r / 256 for r in (96, 128, 160, 192, 224, 256)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name =", "not valid TOML"),
        ('name = "x"', "variants"),
        ('name = "x"\n[[variants]]\nresolution = 1\nhead = 8', "resolution"),
        ('name = "x"\n[[variants]]\nresolution = 32\nhead = 8\nwidth = 3', "width"),
    ],
)
def test_a_bad_family_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "family.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=says):
        load_family(str(tmp_path / "family.toml"))
    with pytest.raises(UserError, match="base, medium, mixed, narrow, paper, paper-7, small"):
        load_family("unknown")


def test_a_family_of_ones_own(tmp_path: Path) -> None:
    text = 'name = "own"\n[[variants]]\nresolution = 32\nalpha = 0.5\nhead = 8\n'
    (tmp_path / "family.toml").write_text(text, encoding="utf-8")
    family = load_family(str(tmp_path / "family.toml"))
    assert isinstance(family, FamilySpec)
    assert family.weights() == pytest.approx([(0.5 / 0.35) ** 1.15])
