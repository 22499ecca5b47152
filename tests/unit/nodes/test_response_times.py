from __future__ import annotations

from vp_mqtt.nodes.response_times import ResponseTimes


def test_the_response_time_is_from_capture_to_label() -> None:
    times = ResponseTimes()
    assert times.start(b"1", 10.0) == 0
    assert times.start(b"2", 10.5) == 0
    assert times.finish(b"2", 11.0) == 0.5
    assert times.finish(b"1", 12.0) == 2.0


def test_a_label_counts_once_and_only_on_frames_of_this_camera() -> None:
    times = ResponseTimes()
    times.start(b"1", 10.0)
    times.finish(b"1", 11.0)
    for correlation in (b"1", b"strange", None):
        assert times.finish(correlation, 12.0) is None


def test_a_frame_that_could_not_be_published_is_not_waited_for() -> None:
    times = ResponseTimes()
    times.start(b"1", 10.0)
    times.cancel(b"1")
    times.cancel(b"2")
    assert times.finish(b"1", 11.0) is None
    assert times.start(b"3", 100.0) == 0


def test_frames_without_a_label_are_given_up_after_five_seconds() -> None:
    times = ResponseTimes()
    times.start(b"1", 10.0)
    times.start(b"2", 11.0)
    assert times.start(b"3", 15.0) == 0
    assert times.start(b"4", 15.001) == 1
    assert times.finish(b"1", 16.0) is None
    assert times.finish(b"2", 16.0) == 5.0


def test_no_more_than_a_thousand_frames_are_waited_for() -> None:
    times = ResponseTimes()
    given_up = sum(times.start(str(number).encode(), 10.0) for number in range(1500))
    assert given_up == 500
    assert times.finish(b"499", 10.0) is None
    assert times.finish(b"500", 10.0) == 0.0
