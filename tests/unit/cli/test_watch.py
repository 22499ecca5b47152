from __future__ import annotations

import io
from collections import deque

import pytest
from rich.console import Console

from vp_mqtt.cli.watch import labels_table
from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import LabelMessage, MessageError


def label(name: str | None, truth: str | None = None, camera: str = "cam0") -> LabelMessage:
    return LabelMessage(
        camera=camera,
        frame="0000002a-123456",
        label=name,
        class_index=None if name is None else 3,
        confidence=None if name is None else 0.987,
        score=None if name is None else 0.5,
        voted=() if name is None else (0, 1, 3),
        missing=(2,) if name is not None else (0, 1, 2, 3),
        alive=(0, 1, 3),
        closed_by=ClosedBy.COMPLETE,
        latency_ms=12.34,
        captured=0.0,
        valid_for_s=5.0,
        bundle="things",
        truth=truth,
    )


def shown(*labels: LabelMessage) -> list[str]:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(labels_table(deque((0.0, one) for one in labels)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_label_is_one_row_that_fits_on_a_terminal() -> None:
    rows = shown(label("Ankle boot"), label("Coat", truth="Shirt"), label(None))
    assert len([row for row in rows if "cam0" in row]) == 3
    assert any(
        all(part in row for part in ("123456", "Ankle boot", "99%", "01.3", "complete", "12.3 ms")) for row in rows
    )
    assert any("Coat (is Shirt)" in row for row in rows)
    assert any("(no vote)" in row and "...." in row for row in rows)


def test_names_are_shown_as_they_are() -> None:
    assert any("[/bold]" in row for row in shown(label("[/bold]")))


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "\ud800"])
def test_names_with_control_characters_are_refused(name: str) -> None:
    data = label("PLACE").encode().replace(b"PLACE", name.encode("unicode_escape").replace(b"\\x", b"\\u00"))
    with pytest.raises(MessageError):
        LabelMessage.decode(data)
