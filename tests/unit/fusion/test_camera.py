"""What is remembered of one camera: the order of its labels, finished frames, and how far each variant has got."""

from __future__ import annotations

from tests.support.fusing import manifest
from vp_mqtt.fusion.camera import CameraFrames, Progress
from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.window import Window
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.votes import Vote

FAMILY = Family(manifest((1.0, 1.0), 3), suspect_after=3)


def decide(one: Window) -> None:
    votes = one.votes_of(FAMILY)
    votes.add(0, Vote((1,), (1.0,), FAMILY.digest))
    votes.close(ClosedBy.COMPLETE, 1.0)
    one.decide(FAMILY)


def announced(*frames: FrameId, opened: float = 0.0) -> tuple[CameraFrames, list[Window]]:
    """Return a camera that has announced these frames, and their windows."""
    camera = CameraFrames("cam", history=3)
    windows = [camera.open(Announce(frame, 0.0), opened + n) for n, frame in enumerate(frames)]
    return camera, [one for one in windows if one is not None]


# How far each variant has got


def test_a_variant_has_passed_the_frames_before_the_newest_that_it_has_voted_on() -> None:
    progress = Progress()
    progress.note_vote(3, FrameId(1, 5), order=5)
    progress.note_vote(3, FrameId(1, 4), order=4)
    progress.note_vote(0, FrameId(1, 2), order=2)
    assert progress.passed(FrameId(1, 4), 4) == {3}
    assert progress.passed(FrameId(1, 5), 5) == set()
    assert progress.passed(FrameId(1, 1), 1) == {0, 3}


def test_newer_is_what_was_announced_later_with_a_higher_sequence_number() -> None:
    progress = Progress()
    progress.note_vote(0, FrameId(1, 2**32 - 1), order=5)
    assert progress.passed(FrameId(1, 6), 6) == set()
    progress.note_vote(0, FrameId(1, 7), order=7)
    assert progress.passed(FrameId(1, 6), 6) == {0}
    # Its announce came late: the variant may still vote on it.
    assert progress.passed(FrameId(1, 8), 6) == set()


def test_runs_of_a_camera_are_kept_apart() -> None:
    progress = Progress()
    progress.note_vote(0, FrameId(2, 5), order=5)
    assert progress.passed(FrameId(1, 1), 1) == set()
    assert progress.passed(FrameId(3, 1), 1) == set()
    assert progress.passed(FrameId(2, 1), 1) == {0}


def test_of_a_cameras_runs_only_the_sixteen_newest_are_remembered() -> None:
    progress = Progress()
    for run in range(17):
        progress.note_vote(0, FrameId(run, 5), order=5)
    remembered = [run for run in range(17) if progress.passed(FrameId(run, 1), 1)]
    assert remembered == list(range(1, 17))
    for run in range(1000):
        progress.note_vote(0, FrameId(run, 5), order=5)
    assert len(progress._newest) == 16


def test_the_progress_of_families_is_kept_apart_and_can_be_forgotten() -> None:
    camera, (before, after) = announced(FrameId(1, 4), FrameId(1, 5))
    camera.note_vote(b"aaaa", 0, after.frame, after.order)
    camera.note_vote(b"bbbb", 1, after.frame, after.order)
    assert camera.passed(b"aaaa", before) == {0}
    assert camera.passed(b"bbbb", before) == {1}
    assert camera.passed(b"cccc", before) == set()
    camera.forget_family(b"aaaa")
    camera.forget_family(b"cccc")
    assert camera.passed(b"aaaa", before) == set()
    assert camera.passed(b"bbbb", before) == {1}


# The order of labels


def test_announces_of_one_run_are_sorted_and_those_of_another_run_come_after() -> None:
    camera, windows = announced(
        FrameId(1, 5), FrameId(1, 7), FrameId(1, 6), FrameId(0, 1), FrameId(1, 4), FrameId(0, 0)
    )
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
    camera, (first, second, third) = announced(FrameId(1, 1), FrameId(1, 2), FrameId(1, 3))
    decide(first)
    decide(third)
    assert camera.release() == [first]
    assert camera.release() == []
    decide(second)
    assert camera.release() == [second, third]
    assert camera.release() == []


def test_older_frames_are_those_of_the_same_run_without_a_label() -> None:
    camera, windows = announced(FrameId(1, 1), FrameId(1, 2), FrameId(2, 0), FrameId(1, 3))
    assert camera.older(FrameId(1, 3), windows[3].order) == windows[:2]
    assert camera.older(FrameId(1, 1), windows[0].order) == []
    decide(windows[0])
    camera.release()
    assert camera.older(FrameId(1, 3), windows[3].order) == [windows[1]]


def test_the_windows_up_to_one_include_those_before_it_whatever_their_run() -> None:
    camera, windows = announced(FrameId(5, 9), FrameId(1, 1), FrameId(1, 2))
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
    camera, windows = announced(*(FrameId(1, sequence) for sequence in range(5)), opened=10.0)
    for one in windows:
        camera.finish(one)
    found = [camera.finished(FrameId(1, sequence)) for sequence in range(6)]
    assert [None if one is None else one.opened for one in found] == [None, None, 12.0, 13.0, 14.0, None]
    assert all(camera.has_seen(FrameId(1, sequence)) for sequence in range(5))
    assert camera.open_windows == 0
