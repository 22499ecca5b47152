"""Pictures as people have them: grey, CMYK, 16 bits deep, turned, huge, damaged, in the wrong place."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.training_data import FAMILY, write_class_folders
from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets import check, load, load_evaluation_set
from vp_mqtt.training.datasets.check import check_dataset
from vp_mqtt.training.datasets.pictures import JoinedPictures, PictureFiles

ORIENTATION = 0x0112
TURNED_RIGHT = 6


def two_halves() -> Image.Image:
    """Return a picture of 48 x 32 pixels, orange above and blue below."""
    pixels = np.zeros((32, 48, 3), dtype=np.uint8)
    pixels[:16] = (240, 120, 0)
    pixels[16:] = (0, 60, 200)
    return Image.fromarray(pixels)


def one(file: Path) -> PictureFiles:
    return PictureFiles([file], np.zeros(1, dtype=np.int64))


def mean_colours(file: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean red, green, blue of the upper and of the lower half."""
    picture = one(file).picture(0)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    middle = picture.shape[0] // 2
    upper, lower = (half.reshape(-1, 3).mean(axis=0)[::-1] for half in (picture[: middle - 2], picture[middle + 2 :]))
    return tuple(upper.tolist()), tuple(lower.tolist())


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.jpg", "RGB"), ("a.JPG", "CMYK"), ("a.tif", "CMYK"), ("a.png", "RGBA"), ("a.png", "RGB"), ("a.webp", "RGB")],
)
def test_colours_survive_whatever_they_are_stored_as(tmp_path: Path, name: str, mode: str) -> None:
    two_halves().convert(mode).save(tmp_path / name)
    upper, lower = mean_colours(tmp_path / name)
    assert upper == pytest.approx((240, 120, 0), abs=12)
    assert lower == pytest.approx((0, 60, 200), abs=12)


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "L"), ("a.png", "L"), ("a.png", "LA"), ("a.png", "P")])
def test_grey_pictures_get_three_equal_channels(tmp_path: Path, name: str, mode: str) -> None:
    two_halves().convert("L").convert(mode).save(tmp_path / name)
    picture = one(tmp_path / name).picture(0)
    assert picture.shape == (32, 48, 3)
    assert (picture[..., 0] == picture[..., 1]).all()
    assert (picture[..., 0] == picture[..., 2]).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_eight(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.linspace(0, 65_535, 32 * 48).reshape(32, 48).astype(np.uint16)).save(tmp_path / name)
    picture = one(tmp_path / name).picture(0)
    np.testing.assert_allclose(picture[..., 0], np.linspace(0, 255, 32 * 48).reshape(32, 48), atol=1)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_the_orientation_that_a_telephone_noted_is_followed(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    # Stored lying on its left side, to be shown turned right by a quarter.
    two_halves().transpose(Image.Transpose.ROTATE_90).save(tmp_path / name, exif=exif)
    assert one(tmp_path / name).picture(0).shape == (32, 48, 3)
    upper, lower = mean_colours(tmp_path / name)
    assert upper == pytest.approx((240, 120, 0), abs=12)
    assert lower == pytest.approx((0, 60, 200), abs=12)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty picture; repair or remove it"),
        (b"text", "not a picture; repair or remove it"),
        (b"half", "not a picture; repair or remove it"),
        (b"huge", "picture too large; reduce it to at most 25 million pixels"),
    ],
)
def test_what_cannot_be_used_is_named_with_a_remedy(tmp_path: Path, content: bytes, says: str) -> None:
    if content == b"half":
        written = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(written, "JPEG")
        content = written.getvalue()[:1500]
    elif content == b"huge":
        written = io.BytesIO()
        Image.new("L", (6000, 5000)).save(written, "JPEG")
        content = written.getvalue()
    file = tmp_path / "a.jpg"
    file.write_bytes(content)
    with pytest.raises(UserError) as told:
        one(file).picture(0)
    assert str(told.value) == f"{file}: {says}"
    file.unlink()
    with pytest.raises(UserError, match="No such file or directory; repair or remove it"):
        one(file).picture(0)


def test_a_class_that_one_part_lacks_is_named(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_class_folders(tmp_path / part)
    (tmp_path / "test" / "class 1").rename(tmp_path / "class 1")
    with pytest.raises(UserError, match=r"test: no class folder 'class 1', which .*train has"):
        load(str(tmp_path))
    (tmp_path / "test" / "class 1").mkdir()
    with pytest.raises(UserError, match=r"test/class 1: no pictures in this class folder; add some"):
        load(str(tmp_path))
    (tmp_path / "test" / "class 1").rmdir()
    (tmp_path / "class 1").rename(tmp_path / "test" / "class 1")
    write_class_folders(tmp_path / "val", classes=4)
    with pytest.raises(UserError, match=r"val/class 3: .*train has no such class; remove the folder"):
        load(str(tmp_path))


def test_other_files_are_told_of_and_hidden_ones_are_not(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "class 0" / "._0.png").write_bytes(b"macOS writes these")
    assert len(load(str(tmp_path)).everything()) == 36
    for file in (tmp_path / "class 2").iterdir():
        file.rename(file.with_suffix(".heic"))
    with pytest.raises(UserError, match=r"class 2: no pictures .*12 \.heic \(convert pictures to JPEG"):
        load(str(tmp_path))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    for number, name in enumerate(("bus", "car", "train")):
        (tmp_path / f"class {number}").rename(tmp_path / name)
    assert load(str(tmp_path)).classes == ("bus", "car", "train")
    assert load_evaluation_set(str(tmp_path), everything=True).classes == ("bus", "car", "train")
    # But a folder with nothing else than `train` and `test` is one of parts, without class folders in them.
    (tmp_path / "bus").rename(tmp_path / "test")
    (tmp_path / "car").rename(tmp_path / "val")
    with pytest.raises(UserError, match=r"train: 0 class folder"):
        load(str(tmp_path))
    (tmp_path / "train").rename(tmp_path / ".train")
    with pytest.raises(UserError, match=r"there is 'val' in it, but no 'train'"):
        load(str(tmp_path))


def test_joined_pictures_keep_their_places(tmp_path: Path) -> None:
    dataset = load(str(write_class_folders(tmp_path / "things")))
    joined = dataset.everything()
    assert isinstance(joined, JoinedPictures)
    few = joined.subset(np.array([0, 35, 30])).relabelled(np.array([7, 8, 9]))
    assert few.labels.tolist() == [7, 8, 9]
    assert few.where(1) == dataset.test.where(5)
    assert (few.picture(1) == dataset.test.picture(5)).all()


def test_all_pictures_of_a_split_folder(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", classes=2)
    write_class_folders(tmp_path / "test", classes=3, per_class=2)
    evaluation_set = load_evaluation_set(str(tmp_path), everything=True)
    assert evaluation_set.classes == ("class 0", "class 1", "class 2")
    assert np.bincount(evaluation_set.pictures.labels).tolist() == [14, 14, 2]
    assert len(load_evaluation_set(str(tmp_path)).pictures) == 6


def test_a_check_finds_nothing_in_a_good_set(tmp_path: Path) -> None:
    report = check_dataset(load(str(write_class_folders(tmp_path / "things"))))
    assert report.is_fine
    assert (report.smallest, report.largest, report.per_class) == ((40, 40), (40, 40), (12, 12))
    assert list(report.lines(5))[-1] == "all pictures can be used"


def test_check_data_lists_all_classes_with_too_few_pictures_and_reads_the_others(tmp_path: Path) -> None:
    things = write_class_folders(tmp_path / "things")
    (things / "class 2" / "5.png").write_bytes(b"nothing")
    for name, numbers in (("few", (0, 1)), ("hollow", ()), ("void", ())):
        (things / name).mkdir()
        for number in numbers:
            (things / "class 0" / f"{number}.png").rename(things / name / f"{number}.png")
    report = check_dataset(load(str(things), is_check=True))
    assert report.unusable == [
        f"{things}/hollow: no pictures in this class folder; add some, or remove the folder",
        f"{things}/void: no pictures in this class folder; add some, or remove the folder",
        f"{things}/few: too few pictures of this class to split; give it at least three",
        f"{things}/class 2/5.png: not a picture; repair or remove it",
    ]
    assert (report.classes, report.per_class) == (6, (0, 12))
    # For everything else, they are an error.
    with pytest.raises(UserError, match=r"hollow: no pictures .* \(and 1 more like it; `vp check-data` lists all\)$"):
        load(str(things))
    (tmp_path / "none" / "a").mkdir(parents=True)
    (tmp_path / "none" / "b").mkdir()
    with pytest.raises(UserError, match=r"a: no pictures in this class folder"):
        load(str(tmp_path / "none"), is_check=True)


def test_check_data_lists_what_is_wrong(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_class_folders(tmp_path / "things" / part, per_class=6 if part == "train" else 2)
    things = tmp_path / "things"
    for file in (things / "test").rglob("*.png"):
        noise = np.random.default_rng(int(file.stem) + 9 * int(file.parent.name[-1])).integers(0, 256, (50, 60, 3))
        Image.fromarray(noise.astype(np.uint8)).save(file)
    # Of this one, libpng would complain on standard error.
    damaged = (things / "train" / "class 1" / "4.png").read_bytes()
    middle = len(damaged) // 2
    (things / "train" / "class 1" / "4.png").write_bytes(damaged[:middle] + bytes(50) + damaged[middle + 50 :])
    (things / "test" / "class 0" / "1.png").write_bytes((things / "train" / "class 0" / "2.png").read_bytes())
    (things / "test" / "class 2" / "0.png").write_bytes((things / "test" / "class 0" / "0.png").read_bytes())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "vp_mqtt", "check-data", str(things)]
    printed = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=False)
    assert (printed.returncode, printed.stderr) == (1, "")
    told = json.loads(printed.stdout)
    assert told["fine"] is False
    assert told["unusable"] == [f"{things}/train/class 1/4.png: not a picture; repair or remove it"]
    assert [pair[1] for pair in told["leaks"]] == [f"{things}/test/class 0/1.png"]
    assert [sorted(pair) for pair in told["contradictions"]] == [
        [f"{things}/test/class 0/0.png", f"{things}/test/class 2/0.png"]
    ]
    assert (told["smallest"], told["largest"]) == ([40, 40], [50, 60])
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert printed.returncode == 1
    assert "1 cannot be used:" in printed.stdout
    assert "all pictures can be used" not in printed.stdout


def test_training_names_a_picture_that_it_cannot_read(tmp_path: Path) -> None:
    things = write_class_folders(tmp_path / "things")
    for file in (things / "class 1").iterdir():
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2])
    family = tmp_path / "family.toml"
    family.write_text(FAMILY, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "vp_mqtt", "train", str(things), "--family", str(family), "--batch", "8"]
    command += ["--epochs", "1", "--out", str(tmp_path / "run")]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "WARN" not in refused.stderr
    told = refused.stderr.splitlines()[-1]
    assert told.startswith(f"vp: {things}/class 1/")
    assert told.endswith("not a picture; repair or remove it; `vp check-data` lists all that cannot be used")


def test_what_is_not_used_of_a_folder_is_counted_for_training_and_evaluation(tmp_path: Path) -> None:
    things = write_class_folders(tmp_path / "things")
    (things / "class 0" / "1.heic").touch()
    (things / "loose.jpg").touch()
    dataset = load(str(things))
    assert dataset.left_out == {".heic": 1, "pictures outside class folders": 1}
    for everything in (False, True):
        assert load_evaluation_set(str(things), everything=everything).left_out == dataset.left_out
    report = check_dataset(dataset)
    assert report.is_fine
    assert "left out: 1 .heic, 1 pictures outside class folders (convert pictures to JPEG)" in report.lines(9)
    assert report.as_dict()["left_out"] == dataset.left_out


def test_class_folders_that_differ_only_in_their_unicode_form_are_one_class(tmp_path: Path) -> None:
    things = write_class_folders(tmp_path / "things", classes=3)
    composed, decomposed = (unicodedata.normalize(form, "K\u00e4se") for form in ("NFC", "NFD"))
    (things / "class 0").rename(things / composed)
    (things / "class 1").rename(things / decomposed)
    dataset = load(str(things))
    assert dataset.classes == (composed, "class 2")
    counts = np.bincount(dataset.everything().labels)
    assert counts[dataset.classes.index(composed)] == 2 * counts[dataset.classes.index("class 2")]


def test_a_class_folder_whose_name_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    things = write_class_folders(tmp_path / "things")
    Path(os.fsdecode(os.fsencode(things) + b"/caf\xe9")).mkdir()
    with pytest.raises(UserError, match=r"'caf\\udce9' needs a shorter name, in UTF-8, without control"):
        load(str(things))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("coding", ["baseline", "progressive"])
def test_a_jpeg_that_is_damaged_in_the_middle_is_named(
    tmp_path: Path, mode: str, coding: str, capfd: pytest.CaptureFixture[str]
) -> None:
    things = write_class_folders(tmp_path / "things")
    file = things / "class 0" / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, progressive=coding == "progressive")
    assert check_dataset(load(str(things))).is_fine
    data = file.read_bytes()
    middle = len(data) // 2
    file.write_bytes(data[: middle - 100] + data[middle:])
    report = check_dataset(load(str(things)))
    (unusable,) = report.unusable
    assert unusable.startswith(f"{file}: damaged (Corrupt JPEG data: ")
    assert not report.is_fine
    assert "JPEG data" not in capfd.readouterr().err


def test_that_damage_was_not_looked_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "can_find_damage", lambda: False)
    lines = list(check_dataset(load(str(write_class_folders(tmp_path / "things")))).lines(9))
    assert lines[-2:] == [
        "JPEGs that are damaged in the middle were not looked for: `pip install simplejpeg`",
        "all pictures can be used",
    ]
