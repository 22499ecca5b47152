"""How large frames have to be, by the statuses of a site's boards, and which pictures are made smaller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.statuses import status_of
from vp_mqtt.nodes import board_needs
from vp_mqtt.nodes.board_needs import LEAST_SIDE, BoardNeeds, Encoding, FrameSizes, Need
from vp_mqtt.protocol.messages import State, StatusMessage

SIDES = st.integers(1, 1280)


def board(name: str, side: int | None, state: State = State.ONLINE, bundle: str | None = "b") -> StatusMessage:
    return status_of(name, "variant", state=state, bundle=bundle, frame_side=side)


def needs_of(*sides: int | None) -> BoardNeeds:
    needs = BoardNeeds()
    for number, side in enumerate(sides):
        needs.note(board(f"board-{number}", side))
    return needs


@given(st.lists(SIDES, min_size=1))
def test_the_board_that_needs_most_decides(sides: list[int]) -> None:
    assert needs_of(*sides).newest == Need(max(sides), len(sides))


@given(st.lists(SIDES), st.lists(SIDES))
def test_a_board_that_does_not_say_what_it_needs_gets_pictures_as_they_are(some: list[int], others: list[int]) -> None:
    assert needs_of(*some, None, *others).newest.side is None


@given(st.lists(SIDES, min_size=1), st.lists(st.tuples(st.integers(0, 5), st.none() | SIDES), max_size=20))
def test_whatever_other_nodes_say_no_board_gets_less_than_it_needs(
    boards: list[int], others: list[tuple[int, int | None]]
) -> None:
    needs = needs_of(*boards)
    for number, side in others:
        needs.note(board(f"other-{number}", side))
    assert needs.newest.side is None or needs.newest.side >= max(boards)


def test_boards_that_are_gone_or_have_no_model_and_other_nodes_need_nothing() -> None:
    needs = needs_of(96, 400)
    needs.note(board("board-1", 400, state=State.OFFLINE))
    needs.note(board("board-2", None, bundle=None))
    needs.note(status_of("fusion", "fusion", bundle="b"))
    assert needs.newest == Need(96, 1)
    needs.forget("board-0")
    assert needs.newest == Need(None, 0)


def test_more_boards_than_can_be_remembered_need_pictures_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_needs, "_MAX_BOARDS", 2)
    needs = needs_of(96, 96)
    assert needs.newest == Need(96, 2)
    needs.note(board("board-2", 96))
    assert needs.newest == Need(None, 2)
    needs.clear()
    needs.note(board("board-2", 96))
    assert needs.newest == Need(96, 1)


@pytest.mark.parametrize(
    ("encoding", "given_side", "said", "expected"),
    [
        ("auto", None, 300, 300),
        ("auto", None, 96, LEAST_SIDE),
        ("auto", None, None, None),
        ("always", 96, None, 96),
        ("auto", 96, 300, 96),
        ("never", 96, 300, None),
    ],
)
def test_the_shorter_side_of_frames(
    encoding: Encoding, given_side: int | None, said: int | None, expected: int | None
) -> None:
    assert FrameSizes(encoding, given_side, needs_of(said)).side == expected


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 1280))
def test_a_smaller_picture_has_the_shape_of_the_larger_one_and_is_large_enough(
    width: int, height: int, side: int
) -> None:
    size = FrameSizes("auto", None, BoardNeeds()).reduced((width, height), side)
    assert (size is None) == (min(width, height) < 1.25 * side)
    if size is not None:
        assert min(size) == side
        assert size[0] / size[1] == pytest.approx(width / height, rel=1 / side)


@pytest.mark.parametrize(
    ("encoding", "boards", "size", "expected"),
    [
        ("auto", 2, (640, 480), True),
        ("auto", 1, (640, 480), False),
        ("auto", 6, (480, 360), False),
        ("always", 1, (480, 360), True),
        ("always", 1, (300, 300), False),
    ],
)
def test_jpegs_are_encoded_anew_where_that_pays(
    encoding: Encoding, boards: int, size: tuple[int, int], *, expected: bool
) -> None:
    assert FrameSizes(encoding, None, needs_of(*[256] * boards)).pays_for_jpeg(size, 256) is expected
