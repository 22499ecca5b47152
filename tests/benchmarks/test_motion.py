"""`vp bench motion`: its scenes, its emulated camera, and what it says of the gate's decisions."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from benchmarks.motion import report
from benchmarks.motion.camera import StillCamera
from benchmarks.motion.decisions import DISTURBANCES, SIDES, measure_decisions
from benchmarks.motion.scenes import Sensor, load_scenes, with_object
from benchmarks.tables import RESULTS
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import decode, encode_jpeg

SIZE = (320, 240)


def test_scenes_are_of_the_size_and_the_same_for_a_seed(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(encode_jpeg(np.full((50, 60, 3), 80 * number, dtype=np.uint8), 90))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    found = load_scenes(tmp_path, 3, SIZE, 1)
    assert [scene.shape for scene in found] == [(240, 320, 3)] * 3
    assert all((a == b).all() for a, b in zip(found, load_scenes(tmp_path, 3, SIZE, 1), strict=True))
    with pytest.raises(UserError, match="fewer than 4 pictures"):
        load_scenes(tmp_path, 4, SIZE, 1)


def test_a_sensor_adds_its_noise_anew_and_something_is_in_the_picture() -> None:
    grey = np.full((240, 320, 3), 128, dtype=np.uint8)
    sensor = Sensor(8.0, 95)
    one, other = (decode(sensor.picture(grey)).astype(float) for _ in range(2))
    assert 5 < (one - 128).std() < 9
    assert (one - other).std() > 5
    assert (decode(sensor.picture(grey, 0.5)) < 100).mean() > 0.99
    changed = with_object(grey, np.zeros_like(grey), 0.25, np.random.default_rng(1))
    assert (changed == 0).mean() == pytest.approx(1 / 16)


def test_the_detector_is_right_of_one_scene() -> None:
    scenes = load_scenes(None, 3, SIZE, 1)
    found = measure_decisions(scenes[:1], scenes[1:], 1, lambda _: None)
    assert [one["what"] for one in found["still"]] == [one.text for one in DISTURBANCES]
    assert {one["difference"] for one in found["still"]} == {0.0}
    assert [one["side"] for one in found["noticed"]] == list(SIDES)
    assert found["noticed"][-1]["difference"] == 1.0


def test_the_camera_counts_its_frames_since_a_change() -> None:
    camera = StillCamera([b"still"], 50.0)
    camera.start()
    try:
        with urllib.request.urlopen(camera.url, timeout=5) as answer:
            assert b"still" in answer.read(200)
            camera.show([b"one", b"two"])
            while b"two" not in answer.read(60):
                pass
        assert camera.sent[b"one"] == 0
        assert camera.sent[b"two"] == 1
    finally:
        camera.stop()


def test_the_committed_measurement_shows_what_is_promised() -> None:
    result = json.loads((RESULTS / "motion.json").read_text())["result"]
    site = result["site"]
    assert site["processor_saved"] >= 0.9
    assert site["bytes_saved"] >= 0.9
    assert max(site["delays_frames"]) <= 1
    assert len(report.costs(result)[0]) == 4
    assert len(report.decisions(result)) == 2 + len(result["decisions"]["still"]) + len(result["decisions"]["noticed"])
