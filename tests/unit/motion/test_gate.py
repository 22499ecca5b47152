"""Whatever happens before a camera: every change is published at once, and little else."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.motion.change import ChangeDetector
from vp_mqtt.motion.gate import MotionGate

HOLD, HEARTBEAT = 2.0, 4.0

frames = st.lists(
    st.tuples(
        st.floats(0.01, 3.0),  # s since the last one
        st.sampled_from([10, 10, 10, 10, 10, 200, 90]),  # what is seen
        st.booleans(),  # whether it can be sent
    ),
    max_size=60,
)


def gate() -> MotionGate:
    return MotionGate(ChangeDetector(threshold=12.0, area=0.005), hold=HOLD, heartbeat=HEARTBEAT)


def scene(level: int) -> np.ndarray:
    picture = np.full((48, 64), 60, dtype=np.uint8)
    picture[10:30, 10:30] = level
    return picture


@given(frames)
def test_no_frame_that_differs_from_the_last_published_one_is_kept_back(
    sequence: list[tuple[float, int, bool]],
) -> None:
    tested, now = gate(), 0.0
    published: int | None = None
    published_at = moved_at = -100.0
    for step, level, can_be_sent in sequence:
        now += step
        passes = tested.look(scene(level), now)
        if level != published:
            moved_at = now
        expected = now - moved_at <= HOLD or now - published_at >= HEARTBEAT
        assert passes == expected
        assert tested.is_still(now) == (now - moved_at > HOLD)
        if passes and can_be_sent:
            tested.note_published(now)
            published, published_at = level, now


@given(st.floats(0.05, 1.0), st.integers(50, 150))
def test_of_a_still_scene_little_more_than_the_heartbeat_is_published(interval: float, count: int) -> None:
    tested, times = gate(), []
    for number in range(count):
        now = number * interval
        if tested.look(scene(10), now):
            tested.note_published(now)
            times.append(now)
    still = [at for at in times if at > HOLD]
    assert len(still) <= count * interval / HEARTBEAT
    assert all(later - earlier < HEARTBEAT + interval + 1e-9 for earlier, later in itertools.pairwise(times))


def test_a_frame_that_was_asked_for_is_the_next_reference() -> None:
    tested = gate()
    tested.look(scene(10), 0.0)
    tested.note_published(0.0)
    assert not tested.look(scene(10), 3.0)
    tested.note_published(3.0)
    assert not tested.look(scene(10), 6.9)
    assert tested.look(scene(10), 7.0)
