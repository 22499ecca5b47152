from __future__ import annotations

from vp_mqtt.nodes.other_camera import OtherCamera
from vp_mqtt.protocol.frames import FrameId

OWN, OTHER = FrameId(1, 5).encode(), FrameId(2, 7).encode()


def test_labels_of_another_cameras_frames_are_noticed_and_forgotten_when_they_cease() -> None:
    watch = OtherCamera(1)
    watch.note(OWN, 100.0)
    for at in (111.0, 112.0):
        watch.note(OTHER, at)
        assert not watch.is_there(at)
    watch.note(OTHER, 113.0)
    assert watch.is_there(113.0)
    assert watch.is_there(140.0)
    assert not watch.is_there(141.1)


def test_labels_of_our_own_earlier_frames_and_of_none_mean_nothing() -> None:
    watch = OtherCamera(1)
    for at in range(100, 105):
        watch.note(OTHER, at)
    for at in range(105, 130):
        watch.note(OWN, at)
        watch.note(None, at)
        watch.note(b"short", at)
        assert not watch.is_there(at)


def test_another_camera_whose_frames_come_seldom_is_noticed_too() -> None:
    watch = OtherCamera(1, frames_every_s=60.0)
    watch.note(OWN, 100.0)
    for at in (160.0, 220.0, 280.0):
        watch.note(OTHER, at)
    assert watch.is_there(280.0)
    assert not watch.is_there(600.0)
