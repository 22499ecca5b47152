from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.plain_text import plain


def test_controls_and_line_breaks_become_question_marks_and_scripts_stay() -> None:
    assert plain("a\x1b[31mb\nc\r\u2028d\x9bK\x7f") == "a?[31mb?c??d?K?"
    said = "Kamera „Süd“ \u06a9\u200c\u0627 \N{NO-BREAK SPACE}[/x] :smile: \udcff"
    assert plain(said) == said


@given(st.text())
def test_it_is_one_line_of_the_same_length(text: str) -> None:
    assert len(plain(text)) == len(text)
    assert len(plain(text).splitlines()) <= 1
    assert plain(plain(text)) == plain(text)
