"""`vp bench frames`: its ways, what it measures without a site, and its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.frames import report
from benchmarks.frames.labels import measure_labels
from benchmarks.frames.ways import WEBCAM, scene_of
from benchmarks.tables import read_result
from vp_mqtt.errors import UserError
from vp_mqtt.inference.jpeg import read_head
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.nodes.sources import SAMPLES
from vp_mqtt.site.synthetic_photos import synthetic_photo


def test_a_scene_is_the_centre_of_a_photograph() -> None:
    picture = synthetic_photo(300, 200, 0)
    picture[:, :10] = picture[:, -10:] = 255
    scene = scene_of(picture, (640, 480))
    assert scene.shape == (480, 640, 3)
    assert scene[:, :8].mean() < 250
    assert scene[:, -8:].mean() < 250
    head = read_head(WEBCAM.jpeg(scene))
    assert head is not None
    assert head.size == (352, 288)


def test_bytes_times_and_right_labels_of_each_way() -> None:
    found = measure_labels(SAMPLES / "fashion-mnist", "fashion-mnist", (640, 480), 4, lambda _: None)
    captured, anew, lower, webcam = found
    assert captured["frame_bytes"] > 2 * anew["frame_bytes"] > 2 * lower["frame_bytes"]
    assert captured["frame_bytes"] > 2 * webcam["frame_bytes"]
    assert captured["camera_ms"] < anew["camera_ms"]
    for one in found:
        assert one["pictures"] == 4
        assert len(one["board_ms"]) == 6
        assert min(one["right_by_boards"].values()) >= 0.5


def test_pictures_of_other_classes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "1.jpg").write_bytes(encode_jpeg(np.zeros((48, 64, 3), np.uint8), 90))
    with pytest.raises(UserError, match="called like a class"):
        measure_labels(tmp_path, "caltech101", (640, 480), None, lambda _: None)


def test_the_tables_have_a_row_for_each_site() -> None:
    result = read_result("frames")["result"]
    assert len(report.site(result)) == 1 + 3 * 6
    assert [row[0] for row in report.behind_link(result)] == ["boards", *"123456"]
