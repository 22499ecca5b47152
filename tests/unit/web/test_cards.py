"""What is said of cameras and boards."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.support.labels import label, state_message
from tests.support.statuses import status_of
from tests.unit.overview.test_site_overview import status
from tests.unit.overview.test_site_view import FRAME, viewed, vote
from vp_mqtt.overview.activity import Outcome
from vp_mqtt.overview.node_state import NodeState
from vp_mqtt.overview.site_view import BoardVote, SiteView
from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import ClassScore, State, StatsMessage
from vp_mqtt.protocol.presence import Presence
from vp_mqtt.web.cards.boards import board_cards, response_chart, strip_paths
from vp_mqtt.web.cards.cameras import CameraCard, camera_cards
from vp_mqtt.web.cards.words import ago, milliseconds, outcome_words, percent, why_closed

NOW = 10.0


def board_vote(outcome: Outcome, *, late_ms: float | None = None) -> BoardVote:
    return BoardVote(0, None, outcome, (), None, late_ms)


def card_of(view: SiteView, now: float = NOW) -> CameraCard:
    [card] = camera_cards(view, now)
    return card


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (7200, "2 h"),
        (90_000, "1 day"),
        (200_000, "2 days"),
    ],
)
def test_times_are_said_in_their_largest_unit(seconds: float, said: str) -> None:
    assert ago(seconds) == said


def test_numbers_are_said_as_finely_as_one_reads_them() -> None:
    assert [milliseconds(value) for value in (None, 1.234, 9.94, 12.3)] == ["-", "1.2 ms", "9.9 ms", "12 ms"]
    assert [percent(share) for share in (None, 0.876)] == ["-", "88%"]


@pytest.mark.parametrize(
    ("closed_by", "outcomes", "said"),
    [
        (ClosedBy.COMPLETE, [Outcome.VOTED] * 3, "All 3 boards voted"),
        (ClosedBy.COMPLETE, [Outcome.VOTED], "The only board voted"),
        (ClosedBy.COMPLETE, [Outcome.VOTED] * 2 + [Outcome.AWAY], "All 2 boards voted"),
        (ClosedBy.DECIDED, [Outcome.VOTED, Outcome.NOT_NEEDED], "Certain after 1 of 2 votes: no other could change it"),
        (
            ClosedBy.DEADLINE,
            [Outcome.VOTED, Outcome.LATE, Outcome.LATE],
            "The deadline passed with 2 boards outstanding",
        ),
        (ClosedBy.SKIPPED, [], "No vote: every board had moved on to a newer frame"),
    ],
)
def test_why_a_window_closed_is_a_sentence(closed_by: ClosedBy, outcomes: list[Outcome], said: str) -> None:
    assert why_closed(closed_by, [board_vote(outcome) for outcome in outcomes]) == said


def test_only_boards_that_are_there_are_not_waited_for() -> None:
    offline = NodeState(status_of("a"), Presence.OFFLINE, is_heard=False)
    gone = BoardVote(1, offline, Outcome.AWAY, (), None, None)
    voted, nobody = board_vote(Outcome.VOTED), board_vote(Outcome.AWAY)
    assert why_closed(ClosedBy.COMPLETE, [voted, voted, gone, nobody]) == "All 2 boards voted; 1 board not waited for"
    assert why_closed(ClosedBy.COMPLETE, [voted, nobody, nobody]) == "The only board voted"
    votes = [voted, board_vote(Outcome.NOT_NEEDED), nobody]
    assert why_closed(ClosedBy.DECIDED, votes) == "Certain after 1 of 2 votes: no other could change it"
    assert outcome_words(gone) == "offline"
    # It voted, and was gone when the page asked, or another board has its variant.
    assert outcome_words(replace(gone, outcome=Outcome.VOTED)) == ""


def test_what_became_of_a_vote_is_a_word_or_two() -> None:
    assert outcome_words(board_vote(Outcome.VOTED)) == ""
    assert outcome_words(board_vote(Outcome.NOT_NEEDED)) == "not needed"
    assert outcome_words(board_vote(Outcome.LATE)) == "late"
    assert outcome_words(board_vote(Outcome.LATE, late_ms=41.7)) == "42 ms late"
    assert outcome_words(board_vote(Outcome.AWAY)) == "no board"


def test_a_label_is_shown_with_its_confidence_and_the_votes_for_and_against() -> None:
    card = card_of(viewed(label("Coat"), variant_0=3, variant_1=1, variant_3=3))
    assert (card.label, card.label_kind, card.confidence, card.share) == ("Coat", "known", "99%", 98.7)
    assert [(bar.board, bar.kind, bar.label) for bar in card.bars] == [
        (0, "agrees", "Coat"),
        (1, "differs", "Bag"),
        (2, "absent", ""),
        (3, "agrees", "Coat"),
    ]


def test_an_unknown_picture_says_what_is_closest_and_a_wrong_label_what_is_right() -> None:
    unknown = label(None).model_copy(update={"known": False, "top": (ClassScore(label="Bag", confidence=0.3),)})
    card = card_of(viewed(unknown))
    assert (card.label, card.label_kind, card.closest, card.confidence) == ("unknown", "unknown", "Bag", "")
    card = card_of(viewed(label("Coat", truth="Shirt")))
    assert (card.label_kind, card.truth) == ("wrong", "Shirt")


def test_nothing_old_is_shown_as_if_it_were_now() -> None:
    view = viewed(label("Coat"), variant_0=3)
    state = state_message()
    view.overview.note_state("cam0", state, NOW)
    assert card_of(view).state.kind == "known"
    old = card_of(view, NOW + 100)
    assert (old.label, old.label_kind, old.confidence, old.bars) == ("no label for 1 min", "expired", "", ())
    assert (old.state.label, old.state.kind) == ("out of date", "expired")


def test_a_camera_without_labels_shows_its_pictures_all_the_same() -> None:
    view = SiteView("home", now=0.0)
    view.note_picture("cam0", FRAME, b"picture", 0.0)
    card = card_of(view)
    assert (card.frame, card.label, card.state.label) == (FRAME, "no label yet", "no state yet")


def site_of_boards() -> SiteView:
    view = viewed(label("Coat"), variant_0=3)
    overview = view.overview
    for variant in range(3):
        overview.note_status(status("variant", f"v{variant}", variant=variant, frame_side=288), retained=False, now=NOW)
    overview.note_status(status("fusion", deadline_ms=250.0), retained=False, now=NOW)
    stats = StatsMessage(node="v0", uptime_s=5.0, counts={"votes": 10, "frames_dropped": 1}, temperature_c=61.4)
    overview.note_stats(stats, retained=False, now=NOW)
    view.note_vote("cam0", FRAME, 1, vote(3), NOW)
    return view


def test_boards_come_first_and_say_what_they_do() -> None:
    cards = board_cards(site_of_boards(), NOW)
    assert [card.name for card in cards] == ["v0", "v1", "v2", "fusion"]
    facts = dict(cards[0].facts)
    assert (facts["dropped"], facts["temperature"], facts["host"]) == ("1 frame", "61 °C", "pi")
    assert facts["looks at"] == "288x288"
    assert set(cards[0].strip) == {"voted"}
    assert cards[3].strip == {}


def test_of_two_boards_with_one_variant_the_one_that_is_there_voted() -> None:
    view = site_of_boards()
    for name in ("aa-twin", "zz-twin"):
        dead = status("variant", name, variant=0, state=State.OFFLINE)
        view.overview.note_status(dead, retained=False, now=NOW)
    cards = {card.name: card for card in board_cards(view, NOW)}
    assert set(cards["v0"].strip) == {"voted"}
    assert (cards["aa-twin"].strip, cards["aa-twin"].votes) == ({}, "")
    frame = view.frames("cam0").labelled()
    assert frame is not None
    board = view.votes(frame, NOW)[0].node
    assert board is not None
    assert board.status.node == "v0"
    assert "board 'aa-twin', another one of variant 0, is offline" in view.overview.problems(NOW)
    view.overview.note_status(status("variant", "v0", variant=0, state=State.OFFLINE), retained=False, now=NOW)
    assert "variant 0 ('aa-twin') is offline" in view.overview.problems(NOW)


def test_a_dead_board_says_for_how_long_and_keeps_no_old_figures() -> None:
    view = site_of_boards()
    view.overview.note_status(status("variant", "v0", State.OFFLINE, variant=0), retained=False, now=NOW + 1)
    dead = board_cards(view, NOW + 126)[0]
    assert (dead.kind, dead.presence) == ("gone", "offline for 2 min")
    assert {name for name, _ in dead.facts} == {"host"}


def test_wills_of_a_broker_that_is_stopped_do_not_make_boards_offline() -> None:
    view = site_of_boards()
    view.overview.note_status(status("variant", "v0", State.OFFLINE, variant=0), retained=False, now=NOW)
    view.overview.note_connection(NOW, is_connected=False)
    for card in board_cards(view, NOW + 60):
        assert (card.kind, card.presence) == ("unclear", "not known: no connection to the broker")
    view.overview.note_connection(NOW + 60, is_connected=True)
    assert [card.kind for card in board_cards(view, NOW + 60)] == ["gone", "online", "online", "online"]


def test_of_a_board_that_was_dead_before_one_cannot_say_for_how_long() -> None:
    view = SiteView("home", now=0.0)
    view.overview.note_status(status("variant", "v0", State.OFFLINE, variant=0), retained=True, now=NOW)
    assert board_cards(view, NOW)[0].presence == "offline, since before this page was started"


def test_a_strip_is_one_path_for_each_kind_of_cell() -> None:
    paths = strip_paths([None, Outcome.VOTED, Outcome.LATE, Outcome.VOTED])
    assert {kind: re.findall(r"M(\d+) ", path) for kind, path in paths.items()} == {"voted": ["1", "3"], "late": ["2"]}


def test_the_chart_has_a_row_for_each_board_and_the_deadline() -> None:
    view = site_of_boards()
    chart = response_chart(view, NOW + 4, 1000.0, view.overview.deadline_ms(NOW))
    assert chart["deadline"] == 250.0
    boards = chart["boards"]
    assert isinstance(boards, list)
    assert [board["variant"] for board in boards] == [0, 1]
    times = chart["times"]
    assert isinstance(times, list)
    assert all(len(board["ms"]) == len(times) for board in boards)
