from __future__ import annotations

import pytest

from vp_mqtt.fusion.liveness import Liveness

CAMERA = "cam"


def liveness(suspect_after: int = 2) -> Liveness:
    return Liveness(suspect_after=suspect_after)


def silenced(suspect_after: int = 2) -> Liveness:
    """Variant 0, online since 1.0 and suspected."""
    silent = liveness(suspect_after)
    silent.set_node("a", 0, online=True, now=1.0)
    for _ in range(suspect_after):
        silent.note_missed(CAMERA, 0)
    return silent


def test_at_first_no_variant_is_alive() -> None:
    assert liveness().alive() == set()
    assert liveness().awaited(CAMERA, 100.0) == set()
    assert liveness().suspected() == {}


def test_a_variant_is_alive_while_its_node_is_online() -> None:
    variants = liveness()
    variants.set_node("a", 3, online=True, now=1.0)
    assert variants.alive() == {3}
    variants.set_node("a", 3, online=False, now=2.0)
    assert variants.alive() == set()


def test_a_variant_is_awaited_in_windows_that_opened_since_it_came() -> None:
    variants = liveness()
    variants.set_node("a", 0, online=True, now=5.0)
    assert variants.awaited(CAMERA, 4.9) == set()
    assert variants.awaited(CAMERA, 5.0) == {0}
    assert variants.awaited(CAMERA, 6.0) == {0}


def test_a_variant_that_comes_back_is_awaited_from_then_on() -> None:
    variants = liveness()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("a", 0, online=False, now=2.0)
    variants.set_node("a", 0, online=True, now=3.0)
    assert variants.awaited(CAMERA, 2.5) == set()
    assert variants.awaited(CAMERA, 3.0) == {0}


def test_a_status_that_is_repeated_changes_nothing() -> None:
    variants = silenced()
    variants.set_node("a", 0, online=True, now=9.0)
    assert 0 in variants.suspected()
    variants.note_vote(CAMERA, 0, 9.5)
    assert variants.awaited(CAMERA, 1.0) == {0}


def test_of_two_nodes_with_one_variant_both_must_go() -> None:
    variants = liveness()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("b", 0, online=True, now=2.0)
    assert variants.awaited(CAMERA, 1.0) == {0}
    variants.set_node("a", 0, online=False, now=3.0)
    assert variants.awaited(CAMERA, 1.0) == {0}
    variants.set_node("b", 0, online=False, now=4.0)
    assert variants.alive() == set()


def test_a_node_that_changes_its_variant_leaves_the_old_one() -> None:
    variants = liveness()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("a", 1, online=True, now=2.0)
    assert variants.alive() == {1}
    variants.set_node("a", 1, online=False, now=3.0)
    assert variants.alive() == set()


def test_a_vote_makes_a_variant_alive_of_which_no_status_is_known() -> None:
    variants = liveness()
    variants.note_vote(CAMERA, 4, 2.0)
    assert variants.alive() == {4}
    assert variants.awaited(CAMERA, 1.9) == set()
    assert variants.awaited(CAMERA, 2.0) == {4}


def test_a_vote_from_before_the_status_that_the_node_is_gone_does_not_outweigh_it() -> None:
    variants = liveness()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("a", 0, online=False, now=2.0)
    variants.note_vote(CAMERA, 0, 1.9)
    variants.note_vote(CAMERA, 0, 2.0)
    assert variants.alive() == set()


def test_a_variant_that_is_said_to_be_gone_but_votes_is_alive() -> None:
    variants = liveness()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.set_node("a", 0, online=False, now=2.0)
    variants.note_vote(CAMERA, 0, 2.1)
    assert variants.awaited(CAMERA, 2.1) == {0}
    variants.set_node("a", 0, online=False, now=3.0)
    assert variants.alive() == set()


def test_silence_on_the_frames_of_one_camera_says_nothing_about_those_of_another() -> None:
    variants = silenced()
    assert variants.suspected() == {0: frozenset({CAMERA})}
    assert variants.awaited("other", 1.0) == {0}
    variants.note_vote("other", 0, 2.0)
    assert variants.awaited(CAMERA, 1.0) == set()
    assert variants.awaited("other", 1.0) == {0}


def test_a_suspect_is_waited_for_on_no_cameras_frames() -> None:
    variants = liveness()
    variants.set_node("a", 0, online=True, now=1.0)
    variants.suspect(0)
    assert variants.suspected() == {0: None}
    assert variants.awaited(CAMERA, 1.0) == variants.awaited("other", 1.0) == set()


def test_of_a_variants_silence_only_4096_cameras_are_remembered() -> None:
    variants = liveness(1)
    variants.set_node("a", 0, online=True, now=1.0)
    for number in range(4097):
        assert variants.note_missed(f"cam{number}", 0)
    suspected_on = variants.suspected()[0]
    assert suspected_on is not None
    assert len(suspected_on) == 4096
    assert variants.awaited("cam0", 1.0) == {0}
    assert variants.awaited("cam4096", 1.0) == set()


def test_a_variant_known_by_its_votes_is_gone_when_its_node_is_offline() -> None:
    variants = liveness()
    variants.note_vote(CAMERA, 0, 1.0)
    variants.set_node("a", 0, online=False, now=2.0)
    assert variants.alive() == set()


@pytest.mark.parametrize("suspect_after", [1, 2, 5])
def test_silence_on_so_many_frames_in_a_row_makes_suspected_once(suspect_after: int) -> None:
    variants = liveness(suspect_after)
    variants.set_node("a", 0, online=True, now=1.0)
    becomes_suspected = [variants.note_missed(CAMERA, 0) for _ in range(suspect_after + 2)]
    assert becomes_suspected == [False] * (suspect_after - 1) + [True, False, False]


def test_the_suspected_are_alive_but_not_awaited() -> None:
    variants = silenced()
    assert 0 in variants.suspected()
    assert variants.alive() == {0}
    assert variants.awaited(CAMERA, 10.0) == set()


def test_a_vote_brings_the_suspected_back_and_the_count_starts_anew() -> None:
    variants = silenced(3)
    variants.note_vote(CAMERA, 0, 2.0)
    assert 0 not in variants.suspected()
    assert variants.awaited(CAMERA, 1.0) == {0}
    assert [variants.note_missed(CAMERA, 0) for _ in range(3)] == [False, False, True]


def test_a_vote_between_two_silences_starts_the_count_anew() -> None:
    variants = liveness(2)
    variants.set_node("a", 0, online=True, now=1.0)
    for now in range(5):
        assert not variants.note_missed(CAMERA, 0)
        variants.note_vote(CAMERA, 0, float(now))
    assert 0 not in variants.suspected()


def test_the_suspected_that_restart_are_awaited_again() -> None:
    variants = silenced()
    variants.set_node("a", 0, online=False, now=2.0)
    assert 0 not in variants.suspected()
    variants.set_node("a", 0, online=True, now=3.0)
    assert variants.awaited(CAMERA, 3.0) == {0}


def test_silence_of_a_variant_that_is_not_alive_means_nothing() -> None:
    variants = liveness(1)
    assert not variants.note_missed(CAMERA, 0)
    assert 0 not in variants.suspected()
    assert variants.alive() == set()


def test_a_suspect_is_waited_for_again_once_it_is_heard() -> None:
    variants = Liveness(suspect_after=3)
    variants.set_node("a", 1, online=True, now=0)
    variants.suspect(1)
    variants.suspect(7)
    assert 1 in variants.suspected()
    assert variants.awaited(CAMERA, 1) == set()
    assert variants.alive() == {1}
    variants.note_vote(CAMERA, 1, 2)
    assert variants.awaited(CAMERA, 2) == {1}


def test_a_variant_known_by_its_votes_is_awaited_anew_from_its_nodes_status_on() -> None:
    variants = liveness()
    variants.note_vote(CAMERA, 0, 1.0)
    variants.set_node("a", 0, online=True, now=5.0)
    assert variants.awaited(CAMERA, 4.9) == set()
    assert variants.awaited(CAMERA, 5.0) == {0}


def test_of_one_variants_nodes_only_256_are_remembered() -> None:
    variants = liveness()
    for number in range(257):
        variants.set_node(f"n{number}", 0, online=True, now=1.0)
    for number in range(255):
        variants.set_node(f"n{number}", 0, online=False, now=2.0)
    assert variants.alive() == {0}
    variants.set_node("n255", 0, online=False, now=2.0)
    assert variants.alive() == set()


def test_a_variant_known_only_by_a_kept_status_is_waited_for_but_not_alive_until_it_is_heard() -> None:
    variants = liveness()
    variants.set_node("a", 0, online=True, now=1.0, is_heard=False)
    variants.set_node("b", 1, online=True, now=1.0, is_heard=False)
    assert variants.awaited(CAMERA, 1.0) == variants.expected() == {0, 1}
    assert variants.alive() == set()
    variants.note_vote(CAMERA, 0, 2.0)
    variants.set_node("b", 1, online=True, now=3.0, is_heard=True)
    assert variants.alive() == {0, 1}


def test_a_kept_status_takes_no_life_from_a_variant_that_was_heard() -> None:
    variants = liveness()
    variants.note_vote(CAMERA, 0, 1.0)
    variants.set_node("a", 0, online=True, now=2.0, is_heard=False)
    assert variants.alive() == {0}
