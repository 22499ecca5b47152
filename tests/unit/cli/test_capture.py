"""`vp capture`: when it says that something is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vp_mqtt.cli import capture


def test_no_hint_comes_while_pictures_are_left_out_on_purpose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("vp_mqtt.cli.capture.time.monotonic", lambda: now[0])
    counts = {"kept": 1, "near_duplicates": 3}

    def pictures() -> Iterator[None]:
        while True:
            now[0] += 1
            yield None

    hinting = capture._with_hints(pictures(), counts, "cup", 30.0)
    for _ in range(40):
        next(hinting)
    assert capsys.readouterr().err == ""
    next(hinting)
    next(hinting)
    assert capsys.readouterr().err == "no pictures come: is the camera running? (Ctrl-C ends)\n"
    counts["near_duplicates"] += 1
    for _ in range(41):
        next(hinting)
    assert capsys.readouterr().err == "all pictures look alike: move the cup or the camera (Ctrl-C ends)\n"
