"""`vp bench shards`: what is counted, and how it is shown. Nothing is started here."""

from __future__ import annotations

from benchmarks.scale.traffic import Traffic
from benchmarks.shards import measure, replicas, report
from benchmarks.testbed.recording import RecordedLabel, Recording
from vp_mqtt.protocol.frames import FrameId


def test_lost_and_doubled_frames_are_counted_by_whether_their_camera_moves() -> None:
    traffic = Traffic("bench", "00000000", 1, cameras=2, variants=1, fps=1.0, seconds=4.0)
    # Of cam0, frame 1 is missing; of cam1, frame 2 came twice.
    seen = [("cam0", 0, 0.0), ("cam0", 2, 2.0), ("cam0", 3, 3.0)]
    seen += [("cam1", n, float(n)) for n in range(4)] + [("cam1", 2, 2.5)]
    labels = [
        (at, {"camera": camera, "frame": str(FrameId(1, n)), "owner": "a" if at < 1 or camera == "cam1" else "b"})
        for camera, n, at in sorted(seen, key=lambda one: one[2])
    ]
    found = measure.summary(labels, traffic)
    assert found["cameras_moved"] == 1
    assert (found["frames"], found["lost"], found["lost_of_others"], found["labelled_twice"]) == (8, 1, 0, 1)
    assert (found["longest_pause_s"], found["longest_pause_of_others_s"]) == (2.0, 1.0)


def test_frames_without_a_vote_are_those_whose_label_names_nothing() -> None:
    recording = Recording(announced={FrameId(1, n): float(n) for n in range(4)})
    recording.labels = [RecordedLabel(FrameId(1, n), n + 0.1, None if n == 1 else "Bag", None) for n in range(3)]
    found = replicas.summary(recording, 0.0, 4.0)
    assert (found["frames"], found["without_label"], found["without_vote"]) == (4, 1, 1)
    assert found["with_vote_per_s"] == 0.5


def test_each_fault_and_each_group_has_a_row() -> None:
    run: dict[str, float] = {"frames": 1000, "lost": 2, "lost_of_others": 1, "labelled_twice": 0, "cameras_moved": 5}
    run |= {"longest_pause_s": 0.5, "longest_pause_of_others_s": 0.2}
    group: dict[str, float] = {"fps": 30, "frames": 10, "without_vote": 1, "with_vote_per_s": 9.5}
    group |= {"announce_to_label_ms_p50": 70.2, "announce_to_label_ms_p95": 90.0}
    shown = {"shards": {"faults": {"it stops": [run, run]}}, "replicas": {"two boards": group}}
    heading, row = report.fault_rows(shown)
    assert row == ["it stops", "5", "2", "2,000", "4", "2", "0", "0.50 s; 0.20 s"]
    assert len(heading) == len(row)
    assert report.group_rows(shown)[1] == ["two boards", "30", "10", "1", "9.5", "70; 90 ms"]
