from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import pytest
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from tests.support.labels import label
from tests.unit.overview.test_site_overview import Heard
from vp_mqtt.cli import watch
from vp_mqtt.cli.watch import line, new_problems, state_line
from vp_mqtt.cli.watch_screen import Screen
from vp_mqtt.cli.watch_tables import labels_table
from vp_mqtt.overview.site_overview import Overview, SeenLabel
from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import (
    ClassScore,
    LabelMessage,
    MessageError,
    Quantiles,
    State,
    StateMessage,
    StateReason,
    StatsMessage,
)

NOW = 50.0


def seen(one: LabelMessage, wall_time: float = 0.0162) -> SeenLabel:
    return SeenLabel(one, at=NOW, wall_time=wall_time)


def line_of(one: SeenLabel) -> str:
    return line(one, Overview("home", now=NOW))


def state(label: str | None = "open", **more: object) -> StateMessage:
    fields = {
        "camera": "cam0",
        "label": label,
        "since": 1000.0,
        "previous": "closed",
        "confidence": None if label is None else 0.93,
        "agreeing": (),
        "reason": StateReason.LABELS,
        "published": 1000.0,
        "valid_for_s": 90.0,
        "bundle": "door",
        **more,
    }
    return StateMessage.model_validate(fields)


class Labels:
    """A listener whose overview gets labels without a pause."""

    def __init__(self, overview: Overview, seconds: float) -> None:
        self.overview, self.seconds = overview, seconds

    def messages(self) -> Iterator[SeenLabel]:
        until = time.monotonic() + self.seconds
        while (now := time.monotonic()) < until:
            yield self.overview.note_label(label("cup"), now, 0.0)


def test_the_screen_is_drawn_while_no_label_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_in = set()

    class Watched(Screen):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            drawn_in.add(threading.get_ident())
            return super().__rich_console__(console, options)

    monkeypatch.setattr(watch, "Screen", Watched)
    terminal = Console(file=io.StringIO(), width=100, height=30, force_terminal=True)
    monkeypatch.setattr(watch, "Live", partial(Live, console=terminal))
    overview = Overview("home", now=time.monotonic())
    watch._show_screen(cast(Any, Labels(overview, 0.5)), overview)
    assert drawn_in == {threading.get_ident()}


def drawn(overview: Overview, now: float, *, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(Screen(overview, now))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


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
    assert line_of(seen(unknown)).startswith("cam0 0000002a-123456 (unknown, closest: Coat) (3 votes")
    assert "(unknown)" in line_of(seen(unknown.model_copy(update={"top": ()})))


def test_headings_are_whole_on_a_narrow_terminal_and_a_wide_one_has_the_frame_and_the_window_too() -> None:
    headings = shown(label("Ankle boot"))[0]
    assert headings.split() == ["time", "camera", "label", "conf.", "votes", "closed", "by", "response"]
    rows = shown(label("Ankle boot"), width=120)
    assert any("123456" in row and "12.3 ms" in row and "16 ms" in row for row in rows)


def test_a_response_time_needs_clocks_that_agree() -> None:
    assert "response 16 ms" in line_of(seen(label("Coat")))
    assert "response clocks?" in line_of(seen(label("Coat", captured=100.0)))
    assert "response clocks?" in line_of(seen(label("Coat"), wall_time=100.0))
    assert line_of(seen(label("Coat"))) == (
        "cam0 0000002a-123456 Coat 99% (3 votes, complete, response 16 ms, missing 2 (not waited for))"
    )


@pytest.mark.parametrize("height", [24, 40])
def test_the_screen_uses_the_height_of_the_terminal(height: int) -> None:
    overview = Overview("home", now=0.0)
    for _ in range(100):
        overview.note_label(label("Coat"), NOW, 0.0162)
    lines = drawn(overview, NOW, width=80, height=height)
    assert height - 3 <= len(lines) <= height
    assert "site 'home'" in lines[0]
    assert "Coat" in lines[-1]


def test_names_are_shown_as_they_are() -> None:
    assert any("[/bold]" in row for row in shown(label("[/bold]")))


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "\ud800"])
def test_names_with_control_characters_are_refused(name: str) -> None:
    data = label("PLACE").encode().replace(b"PLACE", name.encode("unicode_escape").replace(b"\\x", b"\\u00"))
    with pytest.raises(MessageError):
        LabelMessage.decode(data)


def busy_site(variants: int = 6) -> Heard:
    """Return a site whose boards vote 10 times a second, but for variant 1, which is late, and 2, which has died."""
    heard = Heard()
    heard.status("camera", "camera-pi1")
    heard.status("fusion", "fusion-pi2")
    for variant in range(variants):
        heard.status("variant", f"variant-{variant}-pi{variant + 3}", variant=variant)
    heard.status("variant", "variant-2-pi5", variant=2, state=State.OFFLINE)
    for second in (5, 10):
        heard.now += 5
        for node in sorted(heard.alive):
            stats = StatsMessage(
                node=node,
                uptime_s=float(second),
                counts={"votes": 10 * second, "frames": 10 * second, "labels": 10 * second},
                latency_ms=Quantiles(p50=2.25, p95=3.0, p99=4.0),
                rss_mb=109.2,
                temperature_c=48.3,
            )
            heard.overview.note_stats(stats, retained=False, now=heard.now)
    others = tuple(v for v in range(variants) if v not in {1, 2})
    votes = {"voted": others, "missing": (1, 2), "alive": (0, 1, *others[1:]), "closed_by": ClosedBy.DEADLINE}
    for _ in range(50):
        heard.overview.note_label(label("Coat").model_copy(update=votes), heard.now, 0.0162)
    heard.overview.note_state("cam0", state("Coat"), heard.now)
    return heard


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_screen_shows_boards_their_rates_who_is_missing_and_why_and_the_state_beside_the_label(
    width: int, height: int
) -> None:
    heard = busy_site()
    lines = drawn(heard.overview, heard.now, width=width, height=height)
    assert max(map(len, lines)) <= width
    assert height - 5 <= len(lines) <= height

    def row(*parts: str) -> bool:
        return any(all(part in one for part in parts) for one in lines)

    assert row("site 'home'", "10.0 labels/s")
    assert row("camera-pi1", "online", "10.0 frames/s")
    assert row("fusion-pi2", "online", "10.0 labels/s")
    assert row("0: variant-0-pi3", "online", "10.0 votes/s", "2.2 ms", "voted 100%")
    assert row("1: variant-1-pi4", "online", "late 100%")
    assert row("2: variant-2-pi5", "offline")
    assert row("! variant 2 ('variant-2-pi5') is offline")
    assert row("cam0", "Coat", "10.0/s", "16 ms")
    assert row("0..345", "deadline")
    assert row("109 MB", "48 °C") == (width == 120)


@pytest.mark.parametrize("variants", [3, 12, 60])
def test_many_boards_fit_and_those_that_are_not_well_are_among_those_shown(variants: int) -> None:
    heard = busy_site(variants)
    lines = drawn(heard.overview, heard.now, width=80, height=24)
    assert len(lines) <= 24
    assert any("2: variant-2-pi5" in one and "offline" in one for one in lines)
    assert any("cam0" in one and "10.0/s" in one for one in lines)
    assert ("more" in " ".join(lines)) == (variants > 3)


def test_many_cameras_fit() -> None:
    heard = busy_site()
    for number in range(40):
        heard.overview.note_state(f"cam{number}", state(camera=f"cam{number}"), heard.now)
    assert len(drawn(heard.overview, heard.now, width=80, height=24)) <= 24


def test_a_variant_that_nobody_runs_is_named() -> None:
    heard = Heard()
    heard.status("fusion")
    heard.overview.note_label(label("Coat"), heard.now, 0.0162)
    assert any(re.match(r"2 +no board", one) for one in drawn(heard.overview, heard.now, width=80, height=24))
    assert "missing 2 (not waited for)" in line(heard.overview.labels[-1], heard.overview)
    heard.status("variant", "v0", variant=0)
    nobody = label("Coat").model_copy(update={"voted": (0,), "missing": (1, 2)})
    assert "missing 1 2 (no board)" in line(SeenLabel(nobody, heard.now, 0.0162), heard.overview)


def test_of_two_boards_with_one_variant_the_dead_one_is_not_why_its_vote_is_missing() -> None:
    heard = Heard()
    for name in ("pi-a", "pi-b"):
        heard.status("variant", name, variant=2)
    seen = SeenLabel(label("Coat").model_copy(update={"voted": (0, 1), "missing": (2,)}), heard.now, 0.0162)
    alive = line(seen, heard.overview)
    heard.status("variant", "pi-b", variant=2, state=State.OFFLINE)
    assert line(seen, heard.overview) == alive
    heard.status("variant", "pi-a", variant=2, state=State.OFFLINE)
    assert "missing 2 (offline)" in line(seen, heard.overview)


def test_a_variant_that_another_board_has_taken_over_is_not_called_offline() -> None:
    heard = Heard()
    for name in ("a", "z"):
        heard.status("variant", name, variant=2)
    # What a board that chooses its variant leaves: a will from before it chose.
    heard.status("variant", "z", state=State.OFFLINE)
    assert any("2: z" in one for one in drawn(heard.overview, heard.now, width=80, height=24))
    missed = SeenLabel(label("Coat"), heard.now, 0.0162)
    assert "missing 2 (not waited for)" in line(missed, heard.overview)
    heard.status("variant", "a", state=State.OFFLINE)
    assert "missing 2 (offline)" in line(missed, heard.overview)


def test_a_line_says_why_votes_are_missing_and_the_state() -> None:
    heard = busy_site()
    text = line(heard.overview.labels[-1], heard.overview)
    assert "missing 1 (late), 2 (offline)" in text
    assert text.endswith(", state Coat")
    heard.overview.note_state("cam0", state(None), heard.now)
    assert line(heard.overview.labels[-1], heard.overview).endswith(", state unknown")


def test_a_state_that_nobody_vouches_for_is_not_shown_as_one() -> None:
    heard = busy_site()
    later = SeenLabel(label("Coat"), at=heard.now + 100, wall_time=0.0162)
    assert "state" not in line(later, heard.overview)
    assert any("out of date" in one for one in drawn(heard.overview, heard.now + 100, width=80, height=24))


def test_a_change_of_a_state_is_a_line() -> None:
    text = state_line(state(), 1000.0)
    assert text.startswith("cam0 state open since ")
    assert text.endswith(" (labels, 93%, closed before)")
    assert state_line(state(None, previous=None, reason=StateReason.TIMEOUT), 1000.0).endswith(" (timeout)")
    assert "1970-01-01" in state_line(state(), 200_000.0)


def test_a_problem_that_has_only_lasted_for_longer_is_not_new() -> None:
    before = ["no label for 5 s, although ..", "camera node 'cam0' is offline"]
    current = ["no label for 6 s, although ..", "camera node 'cam1' is offline"]
    assert new_problems(current, before) == ["camera node 'cam1' is offline"]
