"""Which frames of a site reach the queue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.labels import label
from tests.unit.web.teaching.test_queue import queue_in
from vp_mqtt.config.loading import load
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.overview.frames import SeenVote
from vp_mqtt.overview.site_overview import SeenLabel
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.teaching.collector import Collector
from vp_mqtt.web.teaching.queue import FrameQueue

NOW = 100.0


class Rig:
    """A collector on a view that the test fills."""

    def __init__(self, folder: Path) -> None:
        self.queue: FrameQueue = queue_in(folder, frames=50)
        self.view = SiteView("home", now=NOW)
        self.collector = Collector(Listener(load(WebSettings, {}), self.view, on_end=lambda _: None), self.queue)

    def show(self, frame: str, colour: tuple[int, int, int], votes: tuple[int, ...], *, at: float = NOW) -> None:
        self.view.note_picture("cam0", frame, encode_jpeg(np.full((48, 64, 3), colour, np.uint8), 90), at)
        for variant, index in enumerate(votes):
            frames = self.view.frames("cam0")
            frames.note_vote(frame, variant, SeenVote(((index, 0.9),), "0000002a", at))
        said = label("Coat").model_copy(update={"frame": frame})
        self.view.note_label(SeenLabel(said, at, 1000.0))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_frame_that_boards_disagree_on_is_kept_once_with_what_they_said(rig: Rig) -> None:
    rig.show("1-1", (0, 0, 200), (3, 3, 1))
    rig.show("1-2", (0, 200, 0), (3, 3, 3))
    assert rig.collector.look(NOW + 1) == 1
    assert rig.collector.look(NOW + 2) == 0
    [kept] = rig.queue.page(5)
    assert (kept.frame, kept.label, kept.reasons, kept.seen) == ("1-1", "Coat", ("boards disagree",), 1000.0)
    assert rig.queue.picture(kept.number) == rig.view.frames("cam0").complete()[0].picture


def test_votes_get_a_moment_to_arrive(rig: Rig) -> None:
    rig.show("1-1", (0, 0, 200), (3, 1))
    assert rig.collector.look(NOW + 0.1) == 0
    assert rig.collector.look(NOW + 0.3) == 1


def test_what_looks_the_same_is_kept_once_and_does_not_use_up_the_pace(rig: Rig) -> None:
    for number in range(8):
        rig.show(f"1-{number}", (0, 0, 200), (3, 1))
    assert rig.collector.look(NOW + 1) == 1
    for number in range(4):
        rig.show(f"2-{number}", (number * 50, 200, 0), (3, 1), at=NOW + 60)
    assert rig.collector.look(NOW + 61) == 4


def test_many_different_frames_are_kept_at_a_pace(rig: Rig) -> None:
    kept = 0
    for number in range(30):
        rig.show(f"1-{number}", (number % 6 * 42, number // 6 * 42, 0), (3, 1))
        kept += rig.collector.look(NOW + 1 + number * 0.1)
    assert kept == 6
