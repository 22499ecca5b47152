from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.support.labels import label
from vp_mqtt.cli.watch import line
from vp_mqtt.cli.watch_screen import Screen, labels_table
from vp_mqtt.protocol.messages import ClassScore, LabelMessage, MessageError
from vp_mqtt.site.overview import Overview, SeenLabel

NOW = 50.0


def seen(one: LabelMessage, wall_time: float = 0.0162) -> SeenLabel:
    return SeenLabel(one, at=NOW, wall_time=wall_time)


def shown(*labels: LabelMessage, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(labels_table([seen(one) for one in labels], NOW, is_wide=width >= 100))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_label_is_one_row_that_fits_on_a_terminal() -> None:
    rows = shown(label("Ankle boot"), label("Coat", truth="Shirt"), label(None))
    assert len([row for row in rows if "cam0" in row]) == 3
    assert any(
        all(part in row for part in ("Ankle boot", "99%", "01.3", "complete", "16 ms")) and "123456" not in row
        for row in rows
    )
    assert any("Coat (is Shirt)" in row for row in rows)
    assert any("(no vote)" in row and "...." in row for row in rows)


def test_an_unknown_frame_is_not_one_without_votes_and_names_the_closest_class() -> None:
    top = (ClassScore(label="Coat", confidence=0.3), ClassScore(label="Bag", confidence=0.2))
    unknown = label(None).model_copy(update={"known": False, "voted": (0, 1, 3), "missing": (2,), "top": top})
    assert "(unknown, closest: Coat)" in " ".join(shown(unknown, width=120))
    assert "(unknown" in " ".join(shown(unknown))
    assert line(seen(unknown)).startswith("cam0 0000002a-123456 (unknown, closest: Coat) (3 votes")
    assert "(unknown)" in line(seen(unknown.model_copy(update={"top": ()})))


def test_headings_are_whole_on_a_narrow_terminal_and_a_wide_one_has_the_frame_and_the_window_too() -> None:
    headings = shown(label("Ankle boot"))[1]
    assert headings.split() == ["time", "camera", "label", "conf.", "votes", "closed", "by", "response"]
    rows = shown(label("Ankle boot"), width=120)
    assert any("123456" in row and "12.3 ms" in row and "16 ms" in row for row in rows)


def test_a_response_time_needs_clocks_that_agree() -> None:
    assert "response 16 ms" in line(seen(label("Coat")))
    assert "response clocks?" in line(seen(label("Coat", captured=100.0)))
    assert "response clocks?" in line(seen(label("Coat"), wall_time=100.0))
    assert line(seen(label("Coat"))) == ("cam0 0000002a-123456 Coat 99% (3 votes, complete, response 16 ms, missing 2)")


@pytest.mark.parametrize("height", [24, 40])
def test_the_screen_uses_the_height_of_the_terminal(height: int) -> None:
    overview = Overview("home", now=0.0)
    for _ in range(100):
        overview.note_label(label("Coat"), NOW, 0.0162)
    console = Console(file=io.StringIO(), width=80, height=height, force_terminal=False)
    console.print(Screen(overview, NOW))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert height - 3 <= len(lines) <= height
    assert "site 'home'" in lines[0]
    assert "Coat" in lines[-2]


def test_names_are_shown_as_they_are() -> None:
    assert any("[/bold]" in row for row in shown(label("[/bold]")))


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "\ud800"])
def test_names_with_control_characters_are_refused(name: str) -> None:
    data = label("PLACE").encode().replace(b"PLACE", name.encode("unicode_escape").replace(b"\\x", b"\\u00"))
    with pytest.raises(MessageError):
        LabelMessage.decode(data)
