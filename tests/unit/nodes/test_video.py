"""Video files: their frames, at their own times, thinned out to the frame rate that is asked for."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import Picture
from vp_mqtt.nodes.sources import open_source
from vp_mqtt.nodes.sources.video import FrameTimes, VideoFile

VALUES = (10, 60, 110, 160)


def brightness(picture: Picture) -> int:
    """Return a picture's mean value in steps of ten, by which the tests distinguish pictures."""
    return round(float(picture.mean()) / 10)


def write(path: Path, fps: float, values: tuple[int, ...] = VALUES, codec: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
    assert writer.isOpened()
    for value in values:
        writer.write(np.full((48, 64, 3), value, dtype=np.uint8))
    writer.release()
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write(tmp_path / "video.avi", 10)


def test_the_frames_of_a_video_come_in_order_and_again(video: Path) -> None:
    source = open_source(str(video))
    assert isinstance(source, VideoFile)
    for _ in range(2):
        captures = list(source.captures())
        assert [brightness(captured.picture) for captured in captures] == [1, 6, 11, 16]
        assert {captured.truth for captured in captures} == {None}
        assert captures[0].picture.shape == (48, 64, 3)
        assert captures[0].picture.dtype == np.uint8


@pytest.mark.parametrize(("name", "codec"), [("video.avi", "MJPG"), ("video.mp4", "mp4v")])
def test_frames_have_the_videos_own_times(name: str, codec: str, tmp_path: Path) -> None:
    captures = list(open_source(str(write(tmp_path / name, 4, VALUES * 2, codec)), fps=1000).captures())
    assert [captured.at for captured in captures] == pytest.approx([n / 4 for n in range(8)], abs=0.01)


@pytest.mark.parametrize(
    ("fps", "times"),
    [
        (25, [n / 25 for n in range(25)]),
        (100, [n / 25 for n in range(25)]),
        (10, [0.0, 0.12, 0.2, 0.32, 0.4, 0.52, 0.6, 0.72, 0.8, 0.92]),
        (12.5, [n / 12.5 for n in range(13)]),
        (2, [0.0, 0.52]),
    ],
)
def test_a_lower_frame_rate_thins_out(fps: float, times: list[float], tmp_path: Path) -> None:
    file = write(tmp_path / "video.mp4", 25, (50,) * 25, "mp4v")
    captures = list(open_source(str(file), fps=fps).captures())
    assert [captured.at for captured in captures] == pytest.approx(times, abs=0.005)


def test_times_increase_whatever_the_file_says() -> None:
    times = FrameTimes(10)
    stamps = [95_443.7, 95_443.8, 95_443.8, 0.0, 0.3, 5000.0, 5000.2]
    assert [times.next(stamp) for stamp in stamps] == pytest.approx([0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
    for unknown in (0.0, -1.0, float("nan"), float("inf")):
        times = FrameTimes(unknown)
        assert [times.next(0.0) for _ in range(3)] == pytest.approx([0, 0.04, 0.08])


def test_the_frames_of_a_video_can_be_kept_while_the_next_are_read(video: Path) -> None:
    kept = [captured.picture for captured in open_source(str(video)).captures()]
    assert [brightness(picture) for picture in kept] == [1, 6, 11, 16]


@pytest.mark.parametrize("name", ["notes.txt", "video.avi", "video.mp4", "noending"])
@pytest.mark.parametrize(
    "content", [b"", b"neither a picture nor a video\n" * 100, "Grüße aus dem Büro\n".encode() * 100]
)
def test_a_file_that_is_neither_picture_nor_video_is_a_user_error(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_source(str(file))
    assert str(caught.value) == f"--source {file}: neither a picture nor a video that OpenCV can read"


def test_a_file_that_ffmpeg_would_render_the_letters_of_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "logo.ans").write_bytes(b"\1\2 some letters\n" * 300)
    with pytest.raises(UserError, match="neither a picture nor a video"):
        open_source(str(tmp_path / "logo.ans"))


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

        def get(self, _property: int) -> float:
            return 0.0

        def grab(self) -> bool:
            return False

        def release(self) -> None:
            self.released += 1

    monkeypatch.setattr(cv2, "VideoCapture", Empty)
    with pytest.raises(UserError, match="a video without frames"):
        list(open_source(str(video)).captures())
