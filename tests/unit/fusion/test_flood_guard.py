"""Gates that shut out a variant that floods."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.fusion.flood_guard import Gates, Passage


def test_the_vote_too_many_shuts_the_gate_and_no_other() -> None:
    gates = Gates(burst=3, per_announce=0, per_second=0, shut_s=10)
    assert [gates.take(5, 0) for _ in range(5)] == [Passage.PASSES] * 3 + [Passage.SHUTS, Passage.IS_SHUT]
    assert gates.take(2, 0) is Passage.PASSES


def test_a_gate_opens_again_with_a_full_bucket() -> None:
    gates = Gates(burst=2, per_announce=0, per_second=0, shut_s=10)
    assert [gates.take(5, 0) for _ in range(3)][-1] is Passage.SHUTS
    assert gates.reopen(9.9) == set()
    assert gates.take(5, 9.9) is Passage.IS_SHUT
    assert gates.reopen(10) == {5}
    assert gates.reopen(10) == set()
    assert [gates.take(5, 10) for _ in range(3)] == [Passage.PASSES, Passage.PASSES, Passage.SHUTS]


def test_time_and_announced_frames_allow_more_votes() -> None:
    gates = Gates(burst=2, per_announce=1, per_second=1, shut_s=10)
    assert [gates.take(0, 0), gates.take(0, 0)] == [Passage.PASSES] * 2
    gates.announced()
    assert gates.take(0, 0) is Passage.PASSES
    assert gates.take(0, 1.0) is Passage.PASSES
    assert gates.take(0, 1.5) is Passage.SHUTS


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=60), st.integers(1, 100))
def test_who_votes_once_or_twice_on_a_frame_is_never_shut_out(
    seconds: list[tuple[int, int]], frames_per_second: int
) -> None:
    gates = Gates()
    now = 0.0
    for frames, extra in seconds:
        for _ in range(frames * frames_per_second):
            gates.announced()
            assert gates.take(3, now) is Passage.PASSES
            assert gates.take(3, now) is Passage.PASSES
        for _ in range(extra):
            assert gates.take(3, now) is Passage.PASSES
        now += 1.0


@given(st.integers(1, 2000), st.floats(0.1, 20))
def test_what_passes_of_a_flood_is_bounded(rate: int, seconds: float) -> None:
    gates = Gates(burst=100, per_announce=4, per_second=10, shut_s=5)
    passed = sum(gates.take(0, step / rate) is Passage.PASSES for step in range(int(rate * seconds)))
    assert passed <= 100 + 10 * seconds + 1
