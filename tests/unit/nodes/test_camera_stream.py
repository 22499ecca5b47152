"""What a camera node publishes of a picture: regions, frames with motion, and those that were asked for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import load
from vp_mqtt.inference.jpeg import Jpeg
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.nodes.camera import webcam_size
from vp_mqtt.nodes.camera_stream import CameraStream, streams_of
from vp_mqtt.nodes.frame_publisher import Moment
from vp_mqtt.nodes.sources import Captured


class FakePublisher:
    """Notes what is to be published; publishing fails while there is no connection."""

    def __init__(self) -> None:
        self.published: list[float] = []
        self.whole = 0
        self.is_connected = True

    def look_around(self, now: float) -> None: ...

    def publish(self, _: Captured, moment: Moment, *, is_whole: bool) -> bool:
        self.whole += is_whole
        if self.is_connected:
            self.published.append(moment.monotonic)
        return self.is_connected


def stream_of(**flags: object) -> tuple[CameraStream, FakePublisher]:
    (stream,) = streams_of(load(CameraSettings, flags), None, None)  # type: ignore[arg-type]
    publisher = FakePublisher()
    stream.publisher = publisher  # type: ignore[assignment]
    return stream, publisher


def captured(left: int, right: int) -> Captured:
    """Return a JPEG whose halves have these grey levels."""
    picture = np.full((96, 128, 3), left, dtype=np.uint8)
    picture[:, 64:] = right
    return Captured(jpeg=Jpeg.parse(encode_jpeg(picture, 90)))


@pytest.fixture(autouse=True)
def no_frame_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vp_mqtt.nodes.camera_stream.FramePublisher", lambda *_, **__: FakePublisher())


@pytest.fixture
def promised(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return where the promises are noted that frames are published with."""
    noted: list[float] = []

    def publisher(*_: object, next_within_s: float, **__: object) -> FakePublisher:
        noted.append(next_within_s)
        return FakePublisher()

    monkeypatch.setattr("vp_mqtt.nodes.camera_stream.FramePublisher", publisher)
    return noted


@pytest.mark.parametrize(("fps", "heartbeat"), [(0.1, 4.0), (0.3, 4.0), (3.0, 0.5), (8.0, 1.5)])
def test_a_still_camera_sends_a_frame_as_soon_as_its_announces_promise(
    fps: float, heartbeat: float, promised: list[float]
) -> None:
    stream, sent = stream_of(source="0", motion_gate=True, fps=fps, heartbeat=heartbeat)
    still = captured(100, 100)
    for number in range(60):
        show(stream, still, number / fps)
    gaps = [after - before for before, after in pairwise(sent.published)]
    assert promised == [pytest.approx(max(gaps))]


@pytest.mark.parametrize(
    ("fps", "heartbeat", "said"), [(20.0, 1.5, 1.5), (10.0, 1.1, 1.1), (0.001, 0.5, 1000.0), (0.0001, 0.5, 3600.0)]
)
def test_the_promise_is_the_heartbeat_unless_pictures_come_more_slowly(
    fps: float, heartbeat: float, said: float, promised: list[float]
) -> None:
    stream_of(source="0", motion_gate=True, fps=fps, heartbeat=heartbeat)
    assert promised == [pytest.approx(said)]


def show(stream: CameraStream, picture: Captured, now: float) -> bool:
    grey = None if stream.grey_side is None else picture.grey(stream.grey_side)
    return stream.take(picture, grey, Moment(now, 0.0))


def test_without_a_gate_every_picture_is_published_and_none_is_decoded() -> None:
    stream, publisher = stream_of()
    assert stream.grey_side is None
    for now in range(5):
        assert not show(stream, captured(10, 10), now)
    assert publisher.published == [0, 1, 2, 3, 4]
    assert not stream.is_still(9.0)


def test_a_picture_that_another_stream_was_asked_for_is_not_published_without_need() -> None:
    stream, publisher = stream_of()
    early = replace(captured(10, 10), is_early=True)
    show(stream, early, 0.0)
    stream.requests.add(0.5)
    show(stream, early, 1.0)
    show(stream, early, 2.0)
    assert publisher.published == [1.0]


def test_behind_the_gate_a_change_is_published_at_once_and_a_still_scene_seldom() -> None:
    stream, publisher = stream_of(motion_gate="true", motion_hold="0.25", heartbeat="1")
    kept = [show(stream, captured(10, 10 if now < 25 else 200), now / 10) for now in range(40)]
    assert publisher.published == pytest.approx([0.0, 0.1, 0.2, 1.2, 2.2, 2.5, 2.6, 2.7, 3.7])
    assert kept.count(True) == 40 - 9
    assert stream.is_still(4.0)


def test_a_change_that_cannot_be_published_is_published_later() -> None:
    stream, publisher = stream_of(motion_gate="true", motion_hold="0")
    show(stream, captured(10, 10), 0.0)
    publisher.is_connected = False
    assert not show(stream, captured(10, 200), 0.1)
    publisher.is_connected = True
    show(stream, captured(10, 200), 0.2)
    assert show(stream, captured(10, 200), 0.3)
    assert publisher.published == [0.0, 0.2]


def test_only_motion_in_the_motion_region_counts() -> None:
    stream, publisher = stream_of(motion_gate="true", motion_hold="0", motion_region="0,0,0.4,1")
    show(stream, captured(10, 10), 0.0)
    assert show(stream, captured(10, 200), 0.1)
    assert not show(stream, captured(90, 200), 0.2)
    assert publisher.published == [0.0, 0.2]


def test_the_motion_region_is_one_of_the_picture_as_it_is_published() -> None:
    stream, publisher = stream_of(motion_gate="true", motion_hold="0", motion_region="0,0,0.4,1", mirror="true")
    show(stream, captured(10, 10), 0.0)
    assert show(stream, captured(90, 10), 0.1)
    assert not show(stream, captured(90, 200), 0.2)
    assert publisher.published == [0.0, 0.2]


def test_a_frame_that_was_asked_for_passes_the_gate_once() -> None:
    stream, publisher = stream_of(motion_gate="true", motion_hold="0")
    show(stream, captured(10, 10), 0.0)
    stream.requests.add(0.05)
    publisher.is_connected = False
    show(stream, captured(10, 10), 0.1)
    publisher.is_connected = True
    show(stream, captured(10, 10), 0.2)
    assert show(stream, captured(10, 10), 0.3)
    assert publisher.published == [0.0, 0.2]


def test_a_webcam_is_asked_for_the_size_as_it_sees_it() -> None:
    def asked(**flags: object) -> tuple[int, int] | None:
        return webcam_size(load(CameraSettings, flags))

    assert asked() is None
    assert asked(size="320x240") == (320, 240)
    assert asked(size="320x240", rotate="180") == (320, 240)
    assert asked(size="320x240", rotate="90") == (240, 320)
    assert asked(size="320x240", region="door=0,0,0.5,1") == (1920, 1080)
