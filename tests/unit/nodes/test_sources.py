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
from vp_mqtt.inference.pictures import Picture, decode, encode_jpeg
from vp_mqtt.logs import LOGGER
from vp_mqtt.nodes import sources
from vp_mqtt.nodes.sources import LiveStream, open_source
from vp_mqtt.nodes.sources.files import PictureFolder, VideoFile

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
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    """The log, whatever another test has set it up to do."""
    monkeypatch.setattr(LOGGER, "propagate", True)
    with caplog.at_level(logging.WARNING, logger=LOGGER.name):
        yield caplog


# Folders


def test_a_folder_of_classes_gives_the_truth_and_the_classes_take_turns(tmp_path: Path) -> None:
    for name, values in (("cat", (10, 20, 30)), ("dog", (40, 50)), ("ant", (60,))):
        for value in values:
            write(tmp_path / name / f"{value}.jpg", value)
    seen = [(captured.truth, brightness(captured.picture)) for captured in open_source(str(tmp_path)).captures()]
    assert seen == [("ant", 6), ("cat", 1), ("dog", 4), ("cat", 2), ("dog", 5), ("cat", 3)]


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
    assert not warnings.messages


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

    def noting(data: bytes) -> Picture:
        decoded.append(data)
        return decode(data)

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


def test_pictures_that_are_no_jpeg_or_have_something_behind_it_come_decoded(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(cv2.imencode(".png", filled(10))[1].tobytes())
    shutil.copy(tmp_path / "1.png", tmp_path / "2.jpg")
    write(tmp_path / "3.jpg", 10).write_bytes(encode_jpeg(filled(10), 90) + b"a film of three seconds")
    captures = list(open_source(str(tmp_path)).captures())
    assert [(captured.jpeg, brightness(captured.picture)) for captured in captures] == [(None, 1)] * 3


def test_a_folder_in_which_no_picture_can_be_read_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"not a picture")
    with pytest.raises(UserError, match="no picture there can be read"):
        list(open_source(str(tmp_path)).captures())


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


# Video files


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    for value in (10, 60, 110, 160):
        writer.write(filled(value))
    writer.release()
    return path


def test_the_frames_of_a_video_come_in_order_and_again(video: Path) -> None:
    source = open_source(str(video))
    assert isinstance(source, VideoFile)
    for _ in range(2):
        captures = list(source.captures())
        assert [brightness(captured.picture) for captured in captures] == [1, 6, 11, 16]
        assert {captured.truth for captured in captures} == {None}
        assert captures[0].picture.shape == (48, 64, 3)
        assert captures[0].picture.dtype == np.uint8


def test_the_frames_of_a_video_can_be_kept_while_the_next_are_read(video: Path) -> None:
    kept = [captured.picture for captured in open_source(str(video)).captures()]
    assert [brightness(picture) for picture in kept] == [1, 6, 11, 16]


@pytest.mark.parametrize("name", ["notes.txt", "video.avi", "video.mp4", "noending"])
@pytest.mark.parametrize("content", [b"", b"neither a picture nor a video\n" * 100])
def test_a_file_that_is_neither_picture_nor_video_is_a_user_error(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert refused(str(file)) == f"--source {file}: neither a picture nor a video that OpenCV can read"


def test_a_video_that_is_gone_when_it_is_to_be_played_again_is_a_user_error(video: Path) -> None:
    source = open_source(str(video))
    assert len(list(source.captures())) == 4
    video.unlink()
    with pytest.raises(UserError, match="neither a picture nor a video"):
        list(source.captures())


def test_a_video_without_frames_is_a_user_error(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty:
        def __init__(self, _path: str) -> None:
            self.released = 0

        def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
            return True

        def read(self) -> tuple[bool, None]:
            return False, None

        def release(self) -> None:
            self.released += 1

    monkeypatch.setattr(cv2, "VideoCapture", Empty)
    with pytest.raises(UserError, match="a video without frames"):
        list(open_source(str(video)).captures())


# Webcams


@pytest.mark.parametrize("number", ["97", "99999999999999999999"])
def test_a_webcam_that_is_not_there_is_a_user_error(number: str) -> None:
    assert refused(number).startswith(f"--source {number}: no webcam with this number")


def test_a_number_is_a_webcam_even_if_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | str] = []

    def opened(_stream: LiveStream) -> None:
        asked.append(_stream._address)

    write(tmp_path / "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LiveStream, "_capture", opened)
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
