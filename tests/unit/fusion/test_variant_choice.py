from __future__ import annotations

import pytest

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.fusion.variant_choice import SETTLED_AFTER_S, VariantChoice

MANIFEST = open_bundle("caltech101").manifest


def said(running: set[int], seconds: float = SETTLED_AFTER_S) -> str | None:
    choice = VariantChoice()
    choice.note(MANIFEST, running, 10.0)
    return choice.note(MANIFEST, running, 10.0 + seconds)


def test_four_boards_with_the_small_variants_are_told_which_are_worth_more() -> None:
    assert said({0, 1, 2, 3}) == (
        "4 of the 6 variants of 'caltech101' run; with as many boards, 4, 5 in place of 2, 3 would usually be right "
        "more often: set --variant, or leave the choice to --variant auto"
    )


@pytest.mark.parametrize(
    ("chosen", "advice"),
    [
        ({0, 1, 2, 3}, "set --variant in place of --variant auto"),
        ({2, 3}, "set --variant in place of --variant auto"),
        ({0, 1, 2}, "set --variant, or leave the choice to --variant auto"),
    ],
)
def test_boards_that_have_chosen_the_small_variants_are_not_told_to_choose(chosen: set[int], advice: str) -> None:
    choice = VariantChoice()
    choice.note(MANIFEST, {0, 1, 2, 3}, 10.0, chosen)
    found = choice.note(MANIFEST, {0, 1, 2, 3}, 10.0 + SETTLED_AFTER_S, chosen)
    assert found is not None
    assert found.endswith(advice)


def test_boards_have_time_to_choose_anew_when_the_family_is_another_one() -> None:
    choice, other = VariantChoice(), open_bundle("fashion-mnist").manifest
    choice.note(other, {0, 1, 2, 3}, 0.0)
    assert choice.note(other, {0, 1, 2, 3}, SETTLED_AFTER_S) is not None
    assert choice.note(MANIFEST, {0, 1, 2, 3}, SETTLED_AFTER_S + 1) is None
    assert choice.note(MANIFEST, {0, 1, 2, 3}, 2 * SETTLED_AFTER_S + 1) is not None


@pytest.mark.parametrize("running", [set(), {1}, {0, 1, 4, 5}, {0, 1, 2, 3, 4, 5}])
def test_the_strongest_variants_all_and_none_are_left_alone(running: set[int]) -> None:
    assert said(running) is None


def test_it_is_said_once_and_not_while_boards_come_and_go() -> None:
    assert said({0, 1}, SETTLED_AFTER_S - 1) is None
    choice = VariantChoice()
    found = [choice.note(MANIFEST, {0, 1} if second != 100 else {0, 1, 2}, float(second)) for second in range(300)]
    assert [second for second, text in enumerate(found) if text is not None] == [60]
    assert choice.note(MANIFEST, {0}, 300.0) is None
    assert choice.note(MANIFEST, {0}, 300.0 + SETTLED_AFTER_S) is not None
