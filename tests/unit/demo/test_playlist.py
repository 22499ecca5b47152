from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.site import write_pictures
from tests.support.tiny import CLASSES
from vp_mqtt.demo.playlist import Playlist, make_playlist
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import encode_jpeg


def played(
    source: str | Path, *, frames: int | None = None, fps: float | None = None, kills: bool = False, page: bool = False
) -> Playlist:
    return make_playlist(str(source), classes=CLASSES, frames=frames, fps=fps, kills=kills, shows_page=page)


def test_each_picture_of_a_folder_is_played_once_and_once_more_without_the_dead_boards(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "own", per_class=3)
    assert played(folder) == Playlist(12, 6, 10.0, has_truth=True)
    assert played(folder, kills=True) == Playlist(24, 12, 10.0, has_truth=True)
    assert played(folder, frames=7, fps=2.0, kills=True) == Playlist(7, 3, 2.0, has_truth=True)
    assert played(folder, page=True).frames == 0
    assert played(folder).camera_arguments() == ("--fps", "10", "--frames", "12")


def test_folders_that_are_no_classes_give_no_truth(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "1.jpg").write_bytes(encode_jpeg(np.zeros((20, 20, 3), np.uint8), 90))
    assert played(tmp_path) == Playlist(1, 0, 10.0, has_truth=False)


def test_the_samples_are_played_faster_and_a_webcam_for_a_while() -> None:
    samples = played("samples")
    assert (samples.frames, samples.fps, samples.has_truth) == (1000, 30.0, False), "the classes are others"
    assert played("samples", page=True).fps == 10.0
    assert played("3") == Playlist(200, 100, 10.0, has_truth=False)


def test_a_source_that_is_not_there_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        played(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no pictures in this folder"):
        played(tmp_path)
