from __future__ import annotations

import threading

import pytest

from vp_mqtt.errors import UserError
from vp_mqtt.training import parallel
from vp_mqtt.training.parallel import cores, map_pictures


@pytest.mark.parametrize("count", [0, 1, 16, 17, 100])
def test_results_come_in_the_order_of_the_pictures(count: int) -> None:
    assert list(map_pictures(lambda index: index * index, count, "squares")) == [n * n for n in range(count)]


def test_pictures_are_worked_on_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    # The first picture waits until the work on a later one has begun: with one thread, it would wait in vain.
    both = threading.Barrier(2, timeout=30)

    def meet(index: int) -> str:
        if index in {0, 40}:
            both.wait()
        return threading.current_thread().name

    assert len(set(map_pictures(meet, 41, "meeting"))) == 2
    assert cores() >= 1


def test_what_one_picture_raises_ends_the_work() -> None:
    done = []

    def fail_at_20(index: int) -> None:
        if index == 20:
            raise UserError("20.png: not a picture")
        done.append(index)

    with pytest.raises(UserError, match=r"20\.png"):
        list(map_pictures(fail_at_20, 100_000, "failing"))
    assert len(done) < 100_000
