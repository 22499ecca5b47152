from __future__ import annotations

from vp_mqtt.fusion.known_cameras import KnownCameras


def after(known: KnownCameras, now: float) -> set[str]:
    known.prune(now)
    return set(known)


def test_a_camera_stays_while_a_node_names_it_and_for_a_while_in_which_it_may_start_again() -> None:
    known = KnownCameras(None)
    known.note_named("camera", ("cam0", "cam1"), 0.0)
    assert after(known, 5000.0) == {"cam0", "cam1"}
    known.note_named("camera", ("cam1",), 5000.0)
    known.note_seen("cam0", 5001.0)
    assert after(known, 5029.0) == {"cam0", "cam1"}
    assert known.expected() == ["cam1"]
    assert after(known, 5030.0) == {"cam1"}


def test_a_camera_that_another_node_names_too_stays() -> None:
    known = KnownCameras(None)
    known.note_named("camera", ("cam0",), 0.0)
    known.note_named("fusion-b", ("cam0",), 0.0)
    known.note_named("camera", (), 1.0)
    assert after(known, 5000.0) == {"cam0"}
    known.note_named("fusion-b", (), 5000.0)
    assert after(known, 5030.0) == set()


def test_a_camera_that_announces_frames_without_a_status_stays_for_ten_minutes() -> None:
    known = KnownCameras(None)
    known.note_named("fusion-b", ("cam0",), 0.0)
    known.note_named("fusion-b", (), 1.0)
    known.note_seen("cam0", 10.0)
    assert after(known, 609.0) == {"cam0"}
    assert after(known, 610.0) == set()


def test_the_number_is_bounded_and_what_was_forgotten_makes_room() -> None:
    known = KnownCameras(None)
    for node in range(200):
        known.note_named(f"n{node}", tuple(f"cam{node}-{n}" for n in range(32)), 0.0)
    assert len(known) == 4096
    for node in range(200):
        known.note_named(f"n{node}", (), 1.0)
    assert after(known, 31.0) == set()
    known.note_named("camera", ("cam0",), 32.0)
    assert after(known, 32.0) == {"cam0"}


def test_given_cameras_are_always_these() -> None:
    known = KnownCameras(("cam0",))
    known.note_named("camera", ("cam1",), 0.0)
    known.note_seen("cam2", 0.0)
    assert after(known, 5000.0) == {"cam0"}
    assert known.expected() == ["cam0"]
