from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.plain_text import counted, plain


def test_controls_and_line_breaks_become_question_marks_and_scripts_stay() -> None:
    assert plain("a\x1b[31mb\nc\r\u2028d\x9bK\x7f") == "a?[31mb?c??d?K?"
    said = "Kamera „Süd“ \u06a9\u200c\u0627 \N{NO-BREAK SPACE}[/x] :smile: \udcff"
    assert plain(said) == said


@pytest.mark.parametrize(
    "character",
    ["\u202e", "\u202a", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c", "\u200b", "\u2060", "\ufeff", "\U000e0041"],
)
def test_what_is_invisible_or_turns_the_direction_becomes_a_question_mark(character: str) -> None:
    assert plain(f"cup{character}exe.gnp") == "cup?exe.gnp"


def test_joiners_and_visible_signs_stay() -> None:
    said = "\u0915\u094d\u200d\u0937 \U0001f469\u200d\U0001f373 \u06dd"
    assert plain(said) == said


@given(st.text())
def test_it_is_one_line_of_the_same_length(text: str) -> None:
    assert len(plain(text)) == len(text)
    assert len(plain(text).splitlines()) <= 1
    assert plain(plain(text)) == plain(text)


def test_a_noun_has_the_number_of_its_count() -> None:
    assert [counted(number, "variant") for number in (0, 1, 2)] == ["0 variants", "1 variant", "2 variants"]
