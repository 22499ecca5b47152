"""What a camera node's status says of its frames."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.nodes.frame_encoder import EncodedFrame
from vp_mqtt.nodes.published_frames import PublishedFramesReport
from vp_mqtt.protocol.messages import PublishedFrames


def frame(width: int, height: int, *, passed: bool = True) -> EncodedFrame:
    return EncodedFrame(encode_jpeg(np.zeros((height, width, 3), np.uint8), 50), is_passed_through=passed)


def test_what_frames_are_like_is_told_at_once_and_changes_now_and_then() -> None:
    told: list[Mapping[str, PublishedFrames]] = []
    report = PublishedFramesReport(told.append)
    cameras: Any = [SimpleNamespace(camera=name, newest=None) for name in ("door", "bin")]
    report.look(cameras, 0.0)
    assert told == []
    cameras[0].newest = frame(64, 48)
    report.look(cameras, 1.0)
    assert told == [{"door": PublishedFrames(width=64, height=48, passed_through=True)}]
    cameras[1].newest = frame(32, 16, passed=False)
    report.look(cameras, 1.1)
    assert told[1:] == [{**told[0], "bin": PublishedFrames(width=32, height=16, passed_through=False)}]
    for now in range(2, 40):
        cameras[0].newest = frame(40 + now, 48)
        report.look(cameras, float(now))
    assert len(told) == 5
    report.look(cameras, 60.0)
    report.look(cameras, 80.0)
    assert len(told) == 6
