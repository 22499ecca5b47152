"""What is bounded, and that nobody takes the room of others; whole seconds, a deadline of ten."""

from __future__ import annotations

import pickle

from tests.unit.fusion.test_windows import DIGEST, announced, certain, frame, online, sequences
from vp_mqtt.fusion.windows import Windows


def test_no_more_windows_are_open_than_allowed_and_what_is_refused_is_counted() -> None:
    windows = online(0, max_open=2)
    for camera in ("a", "b", "c"):
        windows.announce(camera, announced(1), 1)
    assert windows.counts["refused"] == 1
    assert len(windows.vote("a", frame(1), 0, certain(1), 4)) == 1
    windows.announce("c", announced(2), 5)
    assert [result.camera for result in windows.expire(100)] == ["b", "c"]


def test_one_camera_can_have_a_quarter_of_all_windows() -> None:
    windows = online(0, max_open=8)
    for sequence in range(5):
        windows.announce("greedy", announced(sequence), 1)
    windows.announce("cam", announced(1), 2)
    assert (windows.counts["announced"], windows.counts["refused"]) == (3, 3)
    # A duplicate is one, whether or not there is room.
    windows.announce("greedy", announced(0), 3)
    assert windows.counts["duplicate_announces"] == 1
    # A frame that was refused for lack of room can be announced again.
    windows.expire(50)
    windows.announce("greedy", announced(4), 51)
    assert windows.counts["announced"] == 4


def test_votes_without_an_announce_take_no_room_from_announced_frames() -> None:
    windows = online(0, max_open=12)
    windows.announce("cam", announced(1), 0)
    for sequence in range(100, 200):
        windows.vote(f"cam{sequence}", frame(sequence), 1, certain(2), 1)
    windows.announce("cam", announced(2), 2)
    assert windows.counts["refused"] == 0
    labels = windows.vote("cam", frame(1), 0, certain(1), 3)
    labels += windows.vote("cam", frame(2), 0, certain(1), 3)
    labels += windows.expire(100)
    assert [(label.announce.frame.sequence, label.winner) for label in labels] == [(1, 1), (2, 1)]
    assert windows.counts["unannounced"] == 100


def test_frames_whose_label_waits_for_an_older_one_count_against_the_limit_too() -> None:
    windows = online(0, 1, max_open=16)
    windows.announce("cam", announced(0), 0)
    windows.vote("cam", frame(0), 1, certain(1), 0)
    labels = []
    for sequence in range(1, 50):
        labels += windows.announce("cam", announced(sequence), 1)
        for variant in (1, 0):
            labels += windows.vote("cam", frame(sequence), variant, certain(1), 1)
    labels += windows.expire(100)
    assert sequences(labels) == list(range(len(labels)))
    assert windows.counts["announced"] == len(labels)


def test_cameras_that_come_first_keep_their_place_until_they_have_long_been_idle() -> None:
    windows = online(0, max_cameras=2)
    for now, camera in enumerate(("a", "b")):
        windows.announce(camera, announced(1), now)
    windows.expire(50)
    windows.announce("c", announced(1), 100)
    assert windows.counts["refused"] == 1
    windows.announce("b", announced(2), 599)
    windows.announce("c", announced(1), 600)
    assert (windows.counts["refused"], ("a" in windows.cameras), ("c" in windows.cameras)) == (1, False, True)
    windows.announce("a", announced(1), 601)
    assert windows.counts["refused"] == 2


def test_a_new_camera_is_refused_while_all_those_known_have_windows_open() -> None:
    windows = online(0, max_cameras=2)
    windows.announce("a", announced(1), 1)
    windows.announce("b", announced(1), 2)
    assert windows.announce("c", announced(1), 1000) == []
    assert windows.counts["refused"] == 1
    assert [result.camera for result in windows.expire(1000)] == ["a", "b"]
    windows.announce("c", announced(1), 1001)
    assert [result.camera for result in windows.expire(2000)] == ["c"]


def test_where_the_cameras_are_given_no_other_gets_labels() -> None:
    windows = online(0, cameras=["a", "b"], max_cameras=1)
    for camera in ("a", "c", "b"):
        windows.announce(camera, announced(1), 1)
    assert (windows.counts["announced"], windows.counts["refused"]) == (2, 1)
    assert "b" in windows.cameras
    assert "c" not in windows.cameras


def test_a_frame_that_was_labelled_long_ago_gets_no_second_label() -> None:
    windows = online(0, history=3)
    labels = []
    for run in (1, 2):
        for sequence in range(100):
            labels += windows.announce("cam", announced(sequence, run), sequence)
            labels += windows.vote("cam", frame(sequence, run), 0, certain(1), sequence)
    assert len(labels) == 200
    for sequence in range(100):
        assert windows.announce("cam", announced(sequence), 101) == []
    assert windows.expire(1000) == []
    assert windows.counts["duplicate_announces"] == 100


def test_of_each_camera_only_so_many_of_the_newest_frames_are_remembered() -> None:
    windows = online(0, history=3)
    for sequence in range(5):
        windows.announce("cam", announced(sequence), sequence)
        windows.vote("cam", frame(sequence), 0, certain(1), sequence)
    for sequence in (2, 3, 4):
        windows.vote("cam", frame(sequence), 0, certain(1), 5)
    assert (windows.counts["duplicate_votes"], windows.counts["late"]) == (3, 0)
    # Who voted on a frame that is forgotten nobody knows.
    windows.vote("cam", frame(1), 0, certain(1), 5)
    assert (windows.counts["duplicate_votes"], windows.counts["late"]) == (3, 1)
    assert len(windows.cameras["cam"]._finished) == 3


def _work(windows: Windows, rounds: range) -> None:
    for n in rounds:
        camera, now = f"cam{n % 20}", float(n)
        windows.announce(camera, announced(n), now)
        windows.announce(camera, announced(n - 60), now)
        windows.vote(camera, frame(n), n % 2, certain(n % 4), now)
        windows.vote(f"unknown{n}", frame(n), 2, certain(1), now)
        windows.vote(camera, frame(n + 10**6), 2, certain(1), now)
        windows.set_node(f"node{n % 3}", (DIGEST, n % 3) if n % 4 else None, now)
        windows.expire(now)


def test_memory_is_bounded() -> None:
    windows = online(0, 1, max_cameras=30, history=20, max_open=50)
    _work(windows, range(1_000))
    size = len(pickle.dumps(windows))
    _work(windows, range(1_000, 4_000))
    assert len(pickle.dumps(windows)) < 1.2 * size


def test_memory_is_bounded_in_the_number_of_nodes_that_claim_to_be_online() -> None:
    windows = online(0, 1)
    sizes = []
    for thousand in range(20):
        for n in range(1000):
            windows.set_node(f"unknown{thousand}-{n}", (DIGEST, n % 3), 1)
        sizes.append(len(pickle.dumps(windows)))
    assert sizes[-1] < 1.2 * sizes[9]
