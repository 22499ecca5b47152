"""The memory of announced frames: exact as long as a camera counts up, and bounded whatever it does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.fusion.seen_frames import SeenFrames
from vp_mqtt.protocol.frames import FrameId

sequences = st.integers(0, 30) | st.integers(0, 2**32 - 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15)), max_size=60))
def test_a_frame_is_new_once(frames: list[tuple[int, int]]) -> None:
    seen, known = SeenFrames(), set()
    for frame in (FrameId(*pair) for pair in frames):
        assert (frame in seen) == (frame in known)
        assert seen.add(frame) == (frame not in known)
        known.add(frame)
        assert frame in seen


@given(st.lists(sequences, max_size=300))
def test_what_was_seen_stays_seen_in_bounded_memory(numbers: list[int]) -> None:
    seen, known = SeenFrames(), set()
    for sequence in numbers:
        is_new = seen.add(FrameId(1, sequence))
        assert not (is_new and sequence in known)
        known.add(sequence)
        run = seen._runs[1]
        assert len(run._first) == len(run._last) <= 16
        ends = [end for pair in zip(run._first, run._last, strict=True) for end in pair]
        assert ends == sorted(ends)
    assert all(FrameId(1, sequence) in seen for sequence in known)


def test_after_a_jump_to_the_last_number_a_camera_goes_on() -> None:
    seen = SeenFrames()
    assert seen.add(FrameId(1, 2**32 - 1))
    assert all(seen.add(FrameId(1, sequence)) for sequence in range(5000))
    assert not any(seen.add(FrameId(1, sequence)) for sequence in (0, 4999, 2**32 - 1))


def test_gaps_are_closed_beginning_with_the_smallest() -> None:
    seen = SeenFrames()
    for stretch in range(16):
        seen.add(FrameId(1, 100 * stretch))
    seen.add(FrameId(1, 502))
    assert not seen.add(FrameId(1, 501))
    assert seen.add(FrameId(1, 99))
    assert seen.add(FrameId(1, 503))


def test_only_the_sixty_four_newest_runs_are_remembered() -> None:
    seen = SeenFrames()
    for run in range(64):
        seen.add(FrameId(run, 0))
    seen.add(FrameId(0, 1))
    seen.add(FrameId(64, 0))
    assert [run for run in range(65) if FrameId(run, 0) not in seen] == [1]
