from __future__ import annotations

import pytest

from vp_mqtt.fusion.liveness import Roster


def roster(suspect_after: int = 2) -> Roster:
    return Roster(suspect_after=suspect_after)


def silenced(suspect_after: int = 2) -> Roster:
    """Variant 0, online since 1.0 and suspected."""
    silent = roster(suspect_after)
    silent.set_node("a", 0, online=True, now=1.0)
    for _ in range(suspect_after):
        silent.missed(0)
    return silent


def test_at_first_nobody_is_alive() -> None:
    assert roster().alive() == set()
    assert roster().awaited(100.0) == set()
    assert not roster().is_suspected(0)


def test_a_variant_is_alive_while_its_node_is_online() -> None:
    variants = roster()
    variants.set_node("a", 3, online=True, now=1.0)
    assert variants.alive() == {3}
    variants.set_node("a", 3, online=False, now=2.0)
    assert variants.alive() == set()


def test_a_variant_is_awaited_in_windows_that_opened_since_it_came() -> None:
    variants = roster()
    variants.set_node("a", 0, online=True, now=5.0)
    assert variants.awaited(4.9) == set()
    assert variants.awaited(5.0) == {0}
    assert variants.awaited(6.0) == {0}


def test_a_variant_that_comes_back_is_awaited_from_then_on() -> None:
    variants = roster()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("a", 0, online=False, now=2.0)
    variants.set_node("a", 0, online=True, now=3.0)
    assert variants.awaited(2.5) == set()
    assert variants.awaited(3.0) == {0}


def test_a_status_that_is_repeated_changes_nothing() -> None:
    variants = silenced()
    variants.set_node("a", 0, online=True, now=9.0)
    assert variants.is_suspected(0)
    variants.heard(0, 9.5)
    assert variants.awaited(1.0) == {0}


def test_of_two_nodes_with_one_variant_both_must_go() -> None:
    variants = roster()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("b", 0, online=True, now=2.0)
    assert variants.awaited(1.0) == {0}
    variants.set_node("a", 0, online=False, now=3.0)
    assert variants.awaited(1.0) == {0}
    variants.set_node("b", 0, online=False, now=4.0)
    assert variants.alive() == set()


def test_a_node_that_changes_its_variant_leaves_the_old_one() -> None:
    variants = roster()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("a", 1, online=True, now=2.0)
    assert variants.alive() == {1}
    variants.set_node("a", 1, online=False, now=3.0)
    assert variants.alive() == set()


def test_a_vote_makes_a_variant_alive_of_which_no_status_is_known() -> None:
    variants = roster()
    variants.heard(4, 2.0)
    assert variants.alive() == {4}
    assert variants.awaited(1.9) == set()
    assert variants.awaited(2.0) == {4}


def test_a_vote_does_not_outweigh_the_status_that_the_node_is_gone() -> None:
    variants = roster()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("a", 0, online=False, now=2.0)
    variants.heard(0, 2.1)
    assert variants.alive() == set()


def test_a_variant_that_was_known_by_its_votes_goes_when_its_node_says_so() -> None:
    variants = roster()
    variants.heard(0, 1.0)
    variants.set_node("a", 0, online=False, now=2.0)
    assert variants.alive() == set()


@pytest.mark.parametrize("suspect_after", [1, 2, 5])
def test_silence_on_so_many_frames_in_a_row_makes_suspected_once(suspect_after: int) -> None:
    variants = roster(suspect_after)
    variants.set_node("a", 0, online=True, now=1.0)
    told = [variants.missed(0) for _ in range(suspect_after + 2)]
    assert told == [False] * (suspect_after - 1) + [True, False, False]


def test_the_suspected_are_alive_but_not_awaited() -> None:
    variants = silenced()
    assert variants.is_suspected(0)
    assert variants.alive() == {0}
    assert variants.awaited(10.0) == set()


def test_a_vote_brings_the_suspected_back_and_the_count_starts_anew() -> None:
    variants = silenced(3)
    variants.heard(0, 2.0)
    assert not variants.is_suspected(0)
    assert variants.awaited(1.0) == {0}
    assert [variants.missed(0) for _ in range(3)] == [False, False, True]


def test_a_vote_between_two_silences_starts_the_count_anew() -> None:
    variants = roster(2)
    variants.set_node("a", 0, online=True, now=1.0)
    for now in range(5):
        assert not variants.missed(0)
        variants.heard(0, float(now))
    assert not variants.is_suspected(0)


def test_the_suspected_that_restart_are_awaited_again() -> None:
    variants = silenced()
    variants.set_node("a", 0, online=False, now=2.0)
    assert not variants.is_suspected(0)
    variants.set_node("a", 0, online=True, now=3.0)
    assert variants.awaited(3.0) == {0}


def test_silence_of_a_variant_that_is_not_alive_means_nothing() -> None:
    variants = roster(1)
    assert not variants.missed(0)
    assert not variants.is_suspected(0)
    assert variants.alive() == set()


def test_a_suspect_is_waited_for_again_once_it_is_heard() -> None:
    roster = Roster(suspect_after=3)
    roster.set_node("a", 1, online=True, now=0)
    roster.suspect(1)
    roster.suspect(7)
    assert roster.is_suspected(1)
    assert roster.awaited(1) == set()
    assert roster.alive() == {1}
    roster.heard(1, 2)
    assert roster.awaited(2) == {1}
