from __future__ import annotations

import io

import pytest

from vp_mqtt.terminal import can_redraw


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "kind", "expected"),
    [
        (Terminal(), "xterm-256color", True),
        (Terminal(), "linux", True),
        (Terminal(), "dumb", False),
        (Terminal(), "unknown", False),
        (io.StringIO(), "xterm", False),
    ],
)
def test_lines_are_drawn_again_only_on_a_terminal_that_can(
    stream: io.StringIO, kind: str, *, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert can_redraw(stream) is expected
