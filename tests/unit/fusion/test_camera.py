"""What is remembered of one camera: the order of its labels, finished frames, and how far each variant has got."""

from __future__ import annotations

import numpy as np

from tests.support.fusing import manifest
from vp_mqtt.fusion.camera import CameraFrames, Progress
from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.window import Window
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote

FAMILY = Family(manifest((1.0, 1.0), 3), suspect_after=3)


def window(sequence: int, run: int = 1, opened: float = 0.0) -> Window:
    frame = FrameId(run, sequence)
    return Window("cam", frame, opened, announce=Announce(frame, 0.0))


def decide(one: Window) -> None:
    votes = one.votes_of(FAMILY)
    votes.add(0, Vote(np.array([1]), np.array([1.0]), FAMILY.digest))
    votes.close(ClosedBy.COMPLETE, 1.0)
    one.decide(FAMILY)


def queued(*windows: Window) -> CameraFrames:
    camera = CameraFrames(history=3)
    for one in windows:
        camera.enqueue(one)
    return camera


# How far each variant has got


def test_a_variant_has_passed_the_frames_before_the_newest_that_it_has_voted_on() -> None:
    progress = Progress()
    progress.note_vote(3, FrameId(1, 5))
    progress.note_vote(3, FrameId(1, 4))
    progress.note_vote(0, FrameId(1, 2))
    assert progress.passed(FrameId(1, 4)) == {3}
    assert progress.passed(FrameId(1, 5)) == set()
    assert progress.passed(FrameId(1, 1)) == {0, 3}


def test_runs_of_a_camera_are_kept_apart() -> None:
    progress = Progress()
    progress.note_vote(0, FrameId(2, 5))
    assert progress.passed(FrameId(1, 1)) == set()
    assert progress.passed(FrameId(3, 1)) == set()
    assert progress.passed(FrameId(2, 1)) == {0}


def test_of_a_cameras_runs_only_the_sixteen_newest_are_remembered() -> None:
    progress = Progress()
    for run in range(17):
        progress.note_vote(0, FrameId(run, 5))
    remembered = [run for run in range(17) if progress.passed(FrameId(run, 1))]
    assert remembered == list(range(1, 17))
    for run in range(1000):
        progress.note_vote(0, FrameId(run, 5))
    assert len(progress._newest) == 16


def test_the_progress_of_families_is_kept_apart_and_can_be_forgotten() -> None:
    camera = CameraFrames(history=3)
    camera.note_vote(b"aaaa", 0, FrameId(1, 5))
    camera.note_vote(b"bbbb", 1, FrameId(1, 5))
    assert camera.passed(b"aaaa", FrameId(1, 4)) == {0}
    assert camera.passed(b"bbbb", FrameId(1, 4)) == {1}
    assert camera.passed(b"cccc", FrameId(1, 4)) == set()
    camera.forget_family(b"aaaa")
    camera.forget_family(b"cccc")
    assert camera.passed(b"aaaa", FrameId(1, 4)) == set()
    assert camera.passed(b"bbbb", FrameId(1, 4)) == {1}


# The order of labels


def test_announces_of_one_run_are_sorted_and_those_of_another_run_come_after() -> None:
    windows = [window(5), window(7), window(6), window(1, run=0), window(4), window(0, run=0)]
    camera = queued(*windows)
    for one in windows:
        decide(one)
    # An announce does not overtake those of another run.
    assert [one.frame for one in camera.release()] == [
        FrameId(1, 5),
        FrameId(1, 6),
        FrameId(1, 7),
        FrameId(0, 1),
        FrameId(1, 4),
        FrameId(0, 0),
    ]


def test_labels_are_released_up_to_the_first_frame_that_is_not_decided() -> None:
    first, second, third = windows = [window(1), window(2), window(3)]
    camera = queued(*windows)
    decide(first)
    decide(third)
    assert camera.release() == [first]
    assert camera.release() == []
    decide(second)
    assert camera.release() == [second, third]
    assert camera.release() == []


def test_older_frames_are_those_of_the_same_run_without_a_label() -> None:
    windows = [window(1), window(2), window(0, run=2), window(3)]
    camera = queued(*windows)
    assert camera.older(FrameId(1, 3)) == windows[:2]
    assert camera.older(FrameId(1, 1)) == []
    decide(windows[0])
    camera.release()
    assert camera.older(FrameId(1, 3)) == [windows[1]]


def test_the_windows_up_to_one_include_those_before_it_whatever_their_run() -> None:
    windows = [window(9, run=5), window(1), window(2)]
    camera = queued(*windows)
    assert camera.up_to([windows[1]]) == windows[:2]
    assert camera.up_to([windows[2], windows[0]]) == windows
    decide(windows[0])
    (labelled,) = camera.release()
    labelled.is_labelled = True
    assert camera.up_to([labelled]) == [labelled]
    assert camera.up_to([labelled, windows[1]]) == [windows[1], labelled]
    assert camera.up_to([]) == []


# Finished frames


def test_so_many_of_the_frames_finished_last_are_remembered() -> None:
    camera = CameraFrames(history=3)
    for sequence in range(5):
        camera.finish(window(sequence, opened=10.0 + sequence))
    assert [camera.opened(FrameId(1, sequence)) for sequence in range(6)] == [None, None, 12.0, 13.0, 14.0, None]
