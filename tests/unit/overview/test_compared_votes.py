"""How many votes are for the label of their frame."""

from __future__ import annotations

import pytest

from tests.support.labels import label
from tests.unit.overview.test_site_view import vote
from vp_mqtt.overview.site_view import SiteView

LABEL = label("Coat").model_copy(update={"digest": "0e16c0aa"})


def view() -> SiteView:
    return SiteView("home", now=0.0)


def note_label(seen: SiteView, message: object = LABEL) -> None:
    assert isinstance(message, type(LABEL))
    seen.note_label(seen.overview.note_label(message, 1.0, 1.0))


def test_votes_before_and_after_the_label_count_once() -> None:
    seen = view()
    seen.note_announce("cam0", LABEL.frame, 0.9)
    seen.note_vote("cam0", LABEL.frame, 0, vote(3, digest="0e16c0aa"), 0.95)
    seen.note_vote("cam0", LABEL.frame, 1, vote(4, digest="0e16c0aa"), 0.95)
    assert not seen.compared.counts
    note_label(seen)
    note_label(seen)
    seen.note_vote("cam0", LABEL.frame, 2, vote(4, digest="0e16c0aa"), 1.1)
    seen.note_vote("cam0", LABEL.frame, 2, vote(3, digest="0e16c0aa"), 1.2)
    counts = seen.compared.counts
    assert {key: count for key, count in counts.items() if count} == {
        ("cam0", 0, True): 1,
        ("cam0", 1, False): 1,
        ("cam0", 2, False): 1,
    }
    assert counts["cam0", 1, True] == 0


def test_votes_of_another_bundle_are_not_compared() -> None:
    seen = view()
    note_label(seen)
    seen.note_vote("cam0", LABEL.frame, 0, vote(3, digest="11223344"), 1.1)
    assert not seen.compared.counts


def test_where_the_label_is_unknown_there_is_nothing_to_compare() -> None:
    seen = view()
    note_label(seen, label(None))
    seen.note_vote("cam0", label(None).frame, 0, vote(3), 1.1)
    assert not seen.compared.counts


def test_any_number_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vp_mqtt.overview.compared_votes._MAX_PAIRS", 10)
    seen = view()
    note_label(seen)
    for variant in range(20):
        seen.note_vote("cam0", LABEL.frame, variant, vote(3, digest="0e16c0aa"), 1.1)
    assert sum(seen.compared.counts.values()) == 10
