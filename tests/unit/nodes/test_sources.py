from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from vp_mqtt.errors import UserError
from vp_mqtt.inference import pictures
from vp_mqtt.inference.jpeg import Jpeg
from vp_mqtt.inference.picture_formats import PictureFormat
from vp_mqtt.inference.pictures import Picture, decode, encode_jpeg
from vp_mqtt.logs import LOGGER
from vp_mqtt.nodes import sources
from vp_mqtt.nodes.sources import open_source
from vp_mqtt.nodes.sources.capture_feed import WebcamFeed
from vp_mqtt.nodes.sources.feed import FeedError
from vp_mqtt.nodes.sources.files import PictureFolder

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def filled(value: tuple[int, int, int] | int, width: int = 64, height: int = 48) -> Picture:
    return np.full((height, width, 3), value, dtype=np.uint8)


def write(path: Path, value: tuple[int, int, int] | int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_jpeg(filled(value), 95))
    return path


def brightness(picture: Picture) -> int:
    """Return a picture's mean value in steps of ten, by which the tests distinguish pictures."""
    return round(float(picture.mean()) / 10)


def refused(source: str) -> str:
    """Return what is said when a source is refused: one line that names it."""
    with pytest.raises(UserError) as caught:
        open_source(source)
    said = str(caught.value)
    assert said.splitlines() == [said]
    assert said.startswith("--source ")
    return said


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged from warnings on."""
    with caplog.at_level(logging.WARNING, logger=LOGGER.name):
        yield caplog


# Folders


def test_a_folder_of_classes_gives_the_truth_and_the_classes_take_turns(tmp_path: Path) -> None:
    for name, values in (("cat", (10, 20, 30)), ("dog", (40, 50)), ("ant", (60,))):
        for value in values:
            write(tmp_path / name / f"{value}.jpg", value)
    seen = [(captured.truth, brightness(captured.picture)) for captured in open_source(str(tmp_path)).captures()]
    assert seen == [("ant", 6), ("cat", 1), ("dog", 4), ("cat", 2), ("dog", 5), ("cat", 3)]


def test_each_picture_of_a_folder_is_held_for_as_long_as_asked(tmp_path: Path) -> None:
    for name, level in (("a", 0), ("b", 200)):
        write(tmp_path / f"{name}.jpg", level)
    held = open_source(str(tmp_path), fps=10, hold_s=0.3).captures()
    assert [brightness(captured.picture) for captured in held] == [0, 0, 0, 20, 20, 20]


def test_pictures_of_a_folder_without_classes_come_by_name_and_without_truth(tmp_path: Path) -> None:
    for name, value in (("b.jpg", 20), ("a.JPEG", 10), ("c.jpg", 30)):
        write(tmp_path / name, value)
    captures = list(open_source(str(tmp_path)).captures())
    assert [brightness(captured.picture) for captured in captures] == [1, 2, 3]
    assert [captured.truth for captured in captures] == [None] * 3


def test_other_files_in_a_folder_are_no_pictures(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "cat" / "1.jpg", 10)
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"")
    (tmp_path / "cat" / "folder.jpg").mkdir()
    assert len(list(open_source(str(tmp_path)).captures())) == 1
    assert warnings.messages == [f"--source {tmp_path}: left out 1 .txt"]


def test_a_folder_can_be_played_again(tmp_path: Path) -> None:
    for value in (10, 20):
        write(tmp_path / f"{value}.jpg", value)
    source = open_source(str(tmp_path))
    for _ in range(2):
        assert [brightness(captured.picture) for captured in source.captures()] == [1, 2]


def test_a_picture_that_cannot_be_read_is_skipped_with_a_warning(
    tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "1.jpg", 10)
    (tmp_path / "2.jpg").write_bytes(b"not a picture")
    (tmp_path / "3.jpg").write_bytes(b"")
    gone = write(tmp_path / "4.jpg", 40)
    write(tmp_path / "5.jpg", 50)
    source = open_source(str(tmp_path))
    gone.unlink()
    assert [brightness(captured.picture) for captured in source.captures()] == [1, 5]
    for name, reason in (("2.jpg", "not a picture"), ("3.jpg", "empty picture"), ("4.jpg", "No such file")):
        assert any(name in line and reason in line for line in warnings.messages)


def test_the_warning_of_a_picture_that_cannot_be_read_comes_once_however_often_the_folder_is_played(
    tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    whole = write(tmp_path / "1.jpg", 10).read_bytes()
    (tmp_path / "2.jpg").write_bytes(whole[:-20])
    source = open_source(str(tmp_path))
    for _ in range(3):
        assert [captured.jpeg for captured in source.captures()] == [Jpeg.parse(whole)]
    assert [line for line in warnings.messages if "2.jpg" in line] == [f"{tmp_path / '2.jpg'}: not a picture; left out"]


def test_jpegs_come_as_they_are_and_are_decoded_only_when_they_are_new_or_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []

    def noting(data: bytes, *, formats: frozenset[PictureFormat]) -> Picture:
        decoded.append(data)
        return decode(data, formats=formats)

    monkeypatch.setattr(pictures, "decode", noting)
    jpeg = write(tmp_path / "1.JPG", 10).read_bytes()
    source = open_source(str(tmp_path))
    for _ in range(3):
        assert [captured.jpeg for captured in source.captures()] == [Jpeg.parse(jpeg)]
    assert decoded == [jpeg], "to see that it can be"
    captured = next(source.captures())
    assert captured.decoded is None
    assert brightness(captured.picture) == brightness(captured.picture) == 1
    assert decoded == [jpeg] * 2

    other = write(tmp_path / "1.JPG", 200).read_bytes()
    os.utime(tmp_path / "1.JPG", ns=(1, 1))
    assert [captured.jpeg for captured in source.captures()] == [Jpeg.parse(other)]
    assert decoded == [jpeg, jpeg, other]


def test_a_jpeg_that_is_damaged_after_it_was_seen_is_skipped(tmp_path: Path) -> None:
    whole = write(tmp_path / "1.jpg", 10).read_bytes()
    (tmp_path / "2.jpg").write_bytes(whole)
    source = open_source(str(tmp_path))
    assert [captured.jpeg for captured in source.captures()] == [Jpeg.parse(whole)] * 2
    (tmp_path / "2.jpg").write_bytes(whole[: len(whole) // 2])
    assert [captured.jpeg for captured in source.captures()] == [Jpeg.parse(whole)]


def test_pictures_that_are_no_jpeg_come_decoded(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(cv2.imencode(".png", filled(10))[1].tobytes())
    shutil.copy(tmp_path / "1.png", tmp_path / "2.jpg")
    captures = list(open_source(str(tmp_path)).captures())
    assert [(captured.jpeg, brightness(captured.picture)) for captured in captures] == [(None, 1)] * 2


def test_what_follows_a_jpeg_is_left_out(tmp_path: Path) -> None:
    jpeg = encode_jpeg(filled(10), 90)
    write(tmp_path / "1.jpg", 10).write_bytes(jpeg + b"a film of three seconds")
    (captured,) = open_source(str(tmp_path)).captures()
    assert captured.jpeg is not None
    assert captured.jpeg.bare == jpeg
    assert brightness(captured.picture) == 1


def test_a_folder_in_which_no_picture_can_be_read_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"not a picture")
    with pytest.raises(UserError, match="no picture there can be read"):
        list(open_source(str(tmp_path)).captures())


def test_what_a_camera_leaves_out_of_a_folder_is_told(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    for name in ("cup/1.jfif", "cup/@eaDir/1.jfif/THUMB.jpg", "cup/.ipynb_checkpoints/1-checkpoint.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, 10)
    (tmp_path / "cup" / "2.heic").touch()
    (tmp_path / "pen").symlink_to("cup")
    captures = list(open_source(str(tmp_path)).captures())
    assert [captured.truth for captured in captures] == ["cup", "pen"]
    assert warnings.messages == [f"--source {tmp_path}: left out 2 .heic (convert pictures to JPEG)"]
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "1.heic").touch()
    assert "it has 1 .heic (convert" in refused(str(tmp_path / "phone"))


def test_a_folder_without_pictures_is_a_user_error(tmp_path: Path) -> None:
    assert "no pictures in this folder" in refused(str(tmp_path))
    (tmp_path / "notes.txt").write_text("not a picture")
    assert ".jpg" in refused(str(tmp_path))


def test_a_single_picture_is_played_without_truth(tmp_path: Path) -> None:
    source = open_source(str(write(tmp_path / "cat" / "1.jpg", 30)))
    assert isinstance(source, PictureFolder)
    assert [(brightness(captured.picture), captured.truth) for captured in source.captures()] == [(3, None)]


def test_a_single_picture_that_cannot_be_read_is_a_user_error_at_once(tmp_path: Path) -> None:
    file = tmp_path / "1.jpg"
    file.write_text("not a picture")
    assert refused(str(file)) == f"--source {file}: no picture there can be read"


@pytest.mark.parametrize("name", ["nowhere", "nowhere/at-all.jpg", "ftp://host/stream", "two\nlines", "x" * 5000])
def test_a_source_that_is_not_there_is_a_user_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no such file or folder" in refused(name)


# Samples


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sources, "SAMPLES", tmp_path)
    write(tmp_path / sources.DEFAULT_SAMPLES / "coat" / "1.jpg", 10)
    write(tmp_path / "other" / "cat" / "1.jpg", 20)
    return tmp_path


@pytest.mark.usefixtures("samples")
@pytest.mark.parametrize(("source", "truth"), [("samples", "coat"), ("samples:", "coat"), ("samples:other", "cat")])
def test_samples_are_found_by_name(source: str, truth: str) -> None:
    assert [captured.truth for captured in open_source(source).captures()] == [truth]


@pytest.mark.usefixtures("samples")
def test_samples_that_are_not_bundled_are_a_user_error_that_names_those_that_are() -> None:
    assert refused("samples:none") == (
        "--source samples:none: no such bundled samples; there are: fashion-mnist, other"
    )


def test_without_any_bundled_samples_the_default_is_a_user_error(samples: Path) -> None:
    shutil.rmtree(samples)
    assert "no such bundled samples" in refused("samples")


# Webcams


@pytest.mark.parametrize("number", ["97", "99999999999999999999"])
def test_a_webcam_that_is_not_there_is_a_user_error(number: str) -> None:
    assert refused(number).startswith(f"--source {number}: no webcam with this number")


def test_a_number_is_a_webcam_even_if_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def opened(feed: WebcamFeed) -> None:
        asked.append(feed._number)
        raise FeedError("none here")

    write(tmp_path / "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(WebcamFeed, "open", opened)
    assert "no webcam" in refused("0")
    assert asked == [0]


def test_pictures_are_read_only_as_they_are_asked_for(tmp_path: Path) -> None:
    for value in range(0, 250, 10):
        write(tmp_path / f"{value:03}.jpg", value)
    captures = open_source(str(tmp_path)).captures()
    assert [brightness(captured.picture) for captured in islice(captures, 2)] == [0, 1]
    shutil.rmtree(tmp_path)
    assert list(captures) == []


def test_of_a_folder_whose_name_is_no_class_name_the_truth_is_what_can_be_kept_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "odd\x1b\udcffname"
    folder.mkdir()
    (folder / "1.png").write_bytes(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    source = PictureFolder(tmp_path)
    source.open()
    assert [one.truth for one in source.captures()] == ["odd??name"]
