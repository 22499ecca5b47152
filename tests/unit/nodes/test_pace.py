from __future__ import annotations

import itertools

import numpy as np
import pytest

from vp_mqtt.nodes import pace as pace_module
from vp_mqtt.nodes.pace import Pace, paced
from vp_mqtt.nodes.sources import Captured

PICTURE = np.zeros((4, 4, 3), np.uint8)


def test_pictures_without_times_come_at_the_frame_rate_and_a_delay_is_not_made_up_for() -> None:
    pace = Pace(10, 100.0)
    assert pace.due == 100
    pace.take(100.0)
    assert pace.due == pytest.approx(100.1)
    pace.take(105.0)
    assert pace.due == pytest.approx(104.9)


def test_pictures_with_times_come_at_these() -> None:
    pace = Pace(10, 0.0)
    assert [pace.show(at, 50.0) for at in (0.0, 0.12, 0.2)] == pytest.approx([50.0, 50.12, 50.2])
    assert pace.due <= 50


def test_a_short_delay_is_caught_up_with_and_a_long_one_moves_what_follows() -> None:
    pace = Pace(10, 0.0)
    assert pace.show(0.0, 50.0) == 50
    assert pace.show(0.1, 50.4) == pytest.approx(50.1)
    assert pace.show(0.2, 53.2) == pytest.approx(52.7)
    assert pace.show(0.3, 53.2) == pytest.approx(52.8)


def test_a_video_that_is_played_again_goes_on_after_its_last_frame() -> None:
    pace = Pace(10, 0.0)
    pace.show(0.0, 50.0)
    pace.show(1.0, 50.0)
    assert pace.show(0.0, 51.0) == pytest.approx(51.1)
    assert pace.show(0.2, 51.0) == pytest.approx(51.3)


@pytest.mark.parametrize("has_times", [True, False])
def test_a_source_is_played_in_its_time(monkeypatch: pytest.MonkeyPatch, *, has_times: bool) -> None:
    now = 1000.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    def wait(seconds: float) -> bool:
        nonlocal now
        now += seconds
        return False

    monkeypatch.setattr(pace_module, "time", Clock)
    captures = (Captured(PICTURE, at=n * 0.25 if has_times else None) for n in range(5))
    shown = [now for _ in paced(captures, 10, wait)]
    assert shown == pytest.approx([1000 + n * (0.25 if has_times else 0.1) for n in range(5)])


def test_it_ends_when_it_is_told_to() -> None:
    endless = (Captured(PICTURE, at=float(n)) for n in itertools.count())
    assert list(paced(endless, 10, lambda seconds: seconds > 3)) != []


def test_a_picture_that_is_taken_early_comes_in_addition(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 1000.0, iter([False, False, True, False, False])

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    def rest(seconds: float) -> bool:
        nonlocal now
        now += seconds / 4 if next(asked, False) else seconds
        return False

    monkeypatch.setattr(pace_module, "time", Clock)
    pictures = iter([Captured(PICTURE)] * 5)
    found = [(now - 1000, captured.is_early) for captured in paced(pictures, 0.1, lambda _: False, rest)]
    assert found == [(0, False), (10, False), (12.5, True), (20, False), (30, False)]
