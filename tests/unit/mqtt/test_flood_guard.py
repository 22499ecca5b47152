"""The guard that blocks a source that floods."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vp_mqtt.mqtt.flood_guard import FloodGuard, Limit, Source, Verdict
from vp_mqtt.nodes.fusion_inbox import LIMITS
from vp_mqtt.protocol.topics import Kind


def voter(variant: int) -> Source:
    return Kind.VOTE, str(variant)


def guard_of(burst: int, *, per_second: float, per_announce: float = 0.0, block_s: float = 10.0) -> FloodGuard[Kind]:
    return FloodGuard({Kind.VOTE: Limit(burst, per_second, per_announce)}, block_s=block_s)


def test_the_first_vote_over_the_limit_blocks_its_variant_and_no_other() -> None:
    guard = guard_of(3, per_second=0)
    assert [guard.check(voter(5), 0) for _ in range(5)] == [Verdict.ACCEPT] * 3 + [Verdict.BLOCK, Verdict.DROP]
    assert guard.check(voter(2), 0) is Verdict.ACCEPT


def test_a_large_message_counts_for_several() -> None:
    guard = guard_of(4, per_second=1)
    assert [guard.check(voter(5), 0, 2.5) for _ in range(3)] == [Verdict.ACCEPT, Verdict.ACCEPT, Verdict.BLOCK]
    assert guard.check(voter(2), 0, 10.0) is Verdict.ACCEPT
    assert guard.check(voter(2), 7, 1.0) is Verdict.ACCEPT
    assert guard.check(voter(2), 7, 1.0) is Verdict.BLOCK


def test_a_variant_is_unblocked_with_a_full_bucket() -> None:
    guard = guard_of(2, per_second=0)
    assert guard.next_unblock() is None
    assert [guard.check(voter(5), 0) for _ in range(3)][-1] is Verdict.BLOCK
    assert guard.next_unblock() == 10
    assert guard.unblock(9.9) == set()
    assert guard.check(voter(5), 9.9) is Verdict.DROP
    assert guard.unblock(10) == {voter(5)}
    assert guard.next_unblock() is None
    assert guard.unblock(10) == set()
    assert [guard.check(voter(5), 10) for _ in range(3)] == [Verdict.ACCEPT, Verdict.ACCEPT, Verdict.BLOCK]


def test_time_and_announced_frames_allow_more_votes() -> None:
    guard = guard_of(2, per_second=1, per_announce=1)
    assert [guard.check(voter(0), 0), guard.check(voter(0), 0)] == [Verdict.ACCEPT] * 2
    guard.note_announce()
    assert guard.check(voter(0), 0) is Verdict.ACCEPT
    assert guard.check(voter(0), 1.0) is Verdict.ACCEPT
    assert guard.check(voter(0), 1.5) is Verdict.BLOCK


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=60), st.integers(1, 25))
def test_a_variant_that_votes_once_or_twice_per_frame_is_never_blocked(
    seconds: list[tuple[int, int]], frames_per_second: int
) -> None:
    guard = FloodGuard(LIMITS)
    now = 0.0
    for frames, extra in seconds:
        for _ in range(frames * frames_per_second):
            guard.note_announce()
            assert guard.check(voter(3), now) is Verdict.ACCEPT
            assert guard.check(voter(3), now) is Verdict.ACCEPT
        for _ in range(extra):
            assert guard.check(voter(3), now) is Verdict.ACCEPT
        now += 1.0


@settings(deadline=None)
@given(st.integers(1, 2000), st.floats(0.1, 20))
def test_the_votes_accepted_from_a_flood_are_bounded(rate: int, seconds: float) -> None:
    guard = guard_of(100, per_second=10, per_announce=4, block_s=5)
    passed = sum(guard.check(voter(0), step / rate) is Verdict.ACCEPT for step in range(int(rate * seconds)))
    assert passed <= 100 + 10 * seconds + 1


def accepted(guard: FloodGuard[Kind], now: float) -> int:
    """Send votes until the variant is blocked, and return how many were accepted."""
    count = 0
    while (verdict := guard.check(voter(3), now)) is Verdict.ACCEPT:
        count += 1
    assert verdict is Verdict.BLOCK
    return count


def test_the_limits_by_default() -> None:
    guard = FloodGuard(LIMITS)
    assert accepted(guard, 0.0) == 500
    assert guard.next_unblock() == 10.0


def test_the_votes_that_an_announced_frame_allows_by_default() -> None:
    guard = FloodGuard(LIMITS)
    for _ in range(500):
        assert guard.check(voter(3), 0.0) is Verdict.ACCEPT
    guard.note_announce()
    assert accepted(guard, 0.0) == 4


def test_the_votes_that_a_second_allows_by_default() -> None:
    guard = FloodGuard(LIMITS)
    for _ in range(500):
        assert guard.check(voter(3), 0.0) is Verdict.ACCEPT
    assert accepted(guard, 1.0) == 50


def test_frames_announced_before_a_variants_first_vote_do_not_fill_its_bucket_over_the_brim() -> None:
    guard = guard_of(2, per_second=1, per_announce=1)
    for _ in range(10):
        guard.note_announce()
    assert accepted(guard, 100.0) == 2


def test_a_clock_that_goes_back_takes_no_votes_away() -> None:
    guard = guard_of(3, per_second=1)
    assert guard.check(voter(3), 5.0) is Verdict.ACCEPT
    assert accepted(guard, 1.0) == 2


def test_the_first_of_several_blocked_variants_is_unblocked_first() -> None:
    guard = guard_of(1, per_second=0)
    for variant, now in ((1, 2.0), (2, 1.0)):
        guard.check(voter(variant), now)
        assert guard.check(voter(variant), now) is Verdict.BLOCK
    assert guard.next_unblock() == 11.0
    assert guard.unblock(11.5) == {voter(2)}
    assert guard.next_unblock() == 12.0
    assert guard.check(voter(1), 11.5) is Verdict.DROP


def test_sources_of_one_name_but_another_kind_are_kept_apart() -> None:
    limit = Limit(burst=1, per_second=0)
    guard = FloodGuard({Kind.ANNOUNCE: limit, Kind.STATUS: limit})
    assert guard.check((Kind.ANNOUNCE, "a"), 0) is guard.check((Kind.STATUS, "a"), 0) is Verdict.ACCEPT
    assert guard.check((Kind.ANNOUNCE, "a"), 0) is Verdict.BLOCK
    assert guard.check((Kind.ANNOUNCE, "b"), 0) is Verdict.ACCEPT


def test_however_many_sources_there_are_only_so_many_are_remembered() -> None:
    guard = guard_of(1, per_second=0)
    for number in range(20_000):
        assert guard.check((Kind.VOTE, f"v{number}"), 0) is Verdict.ACCEPT
    assert len(guard._buckets) == 8192


def test_a_source_that_floods_again_at_once_is_blocked_for_longer_up_to_a_limit() -> None:
    guard = guard_of(1, per_second=0)
    now, lasted = 0.0, []
    for _ in range(5):
        assert accepted(guard, now) == 1
        until = guard.next_unblock()
        assert until is not None
        lasted.append(until - now)
        now = until
        guard.unblock(now)
    assert lasted == [10, 20, 40, 80, 80]
    # It behaved for as long as it was blocked.
    assert accepted(guard, now + 80.1) == 1
    assert guard.next_unblock() == now + 80.1 + 10
