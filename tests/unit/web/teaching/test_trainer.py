"""Trainings with a job that the test ends: what is kept of them, and what a later one finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.web.teaching.test_pages import Rig, held
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.web.teaching.job import JobState, JobView
from vp_mqtt.web.teaching.trainer import as_sent


class ByHand:
    """A job that ends when told to."""

    def __init__(self, kind: str, arguments: list[str], *, on_done: Callable[[str], None], **_more: object) -> None:
        self.kind, self.arguments, self.on_done = kind, arguments, on_done
        self.state, self.problem = JobState.RUNNING, ""

    def start(self) -> None:
        """It begins with what the test says."""

    def view(self) -> JobView:
        return JobView(self.kind, self.state, "", 0.0, 1.0, (), self.problem)

    def fail(self, problem: str) -> None:
        self.state, self.problem = JobState.FAILED, problem

    @property
    def pictures(self) -> Path:
        return Path(self.arguments[1])

    def succeed(self) -> None:
        """End as `vp teach --json` does."""
        out = Path(self.arguments[self.arguments.index("--out") + 1])
        out.mkdir()
        found = {"bundle": "own", "digest": "0000002a", "out": str(out), "classes": ["cup", "spoon"], "pictures": 12}
        found |= {"zoom": 1.0, "seconds": 3.0, "advice": [], "doubtful": [], "cross_validated": {"fused": 0.8}}
        found |= {"outcome": held(17), "interval": [0.6, 0.9], "outcome_before": None, "interval_before": None}
        self.on_done(json.dumps(found))
        self.state = JobState.DONE


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("vp_mqtt.web.teaching.trainer.Job", ByHand)
    monkeypatch.setattr("vp_mqtt.web.teaching.trainer.can_fine_tune", lambda: True)
    stamps = iter(range(100, 200))
    monkeypatch.setattr("vp_mqtt.web.teaching.trainer.time.strftime", lambda *_: str(next(stamps)))
    rig = Rig(tmp_path)
    for name in ("cup", "spoon"):
        for number in range(6):
            picture = encode_jpeg(np.full((8, 8, 3), 40 * number, np.uint8), 90)
            rig.studio.teaching.collection.add(name, picture, f"{number}.jpg")
    return rig


def train(rig: Rig) -> ByHand:
    rig.studio.trainer.train()
    job: object = rig.studio.trainer._job
    assert isinstance(job, ByHand)
    return job


def fine_tune(rig: Rig) -> ByHand:
    rig.studio.trainer.fine_tune()
    job: object = rig.studio.trainer._tuning
    assert isinstance(job, ByHand)
    return job


def pictures_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg") if path.exists()}


def test_a_bundle_is_fine_tuned_on_what_it_has_learnt_whatever_has_become_of_that(rig: Rig) -> None:
    (first := train(rig)).succeed()
    learnt = pictures_in(first.pictures)
    assert len(learnt) == 12
    # Classes change, pictures go, and a training of that does not succeed.
    rig.studio.teaching.rename("spoon", "fork")
    rig.studio.teaching.delete("cup", ["0.jpg"])
    for path in (rig.studio.folder.pictures / ".deleted").iterdir():
        path.unlink()
    train(rig).fail("no memory")
    tuning = fine_tune(rig)
    assert (tuning.pictures, pictures_in(tuning.pictures)) == (first.pictures, learnt)
    tuning.fail("no memory")

    # A newer bundle has learnt something else, and what the one before had is not needed any more.
    (second := train(rig)).succeed()
    assert [*second.pictures.parent.iterdir()] == [second.pictures]
    assert {name.split("/")[1] for name in pictures_in(second.pictures)} == {"cup", "fork"}
    # That is remembered over a restart.
    rig.studio.open()
    assert fine_tune(rig).pictures == second.pictures


def test_a_failed_fine_tuning_is_not_said_of_a_newer_bundle(rig: Rig) -> None:
    train(rig).succeed()
    fine_tune(rig).fail("no memory for it")
    assert "no memory for it" in rig.browser.get("/train").text
    # It is still true while a training runs, and of one that fails.
    train(rig).fail("")
    assert "no memory for it" in rig.browser.get("/train").text
    train(rig).succeed()
    html = rig.browser.get("/train").text
    assert "no memory for it" not in html
    assert "What to expect" in html


def test_pictures_that_cannot_be_linked_hard_are_linked_by_name(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    job = train(rig)
    assert len(pictures_in(job.pictures)) == 12
    assert all(path.is_symlink() for path in job.pictures.rglob("*.jpg"))


def test_the_page_says_why_boards_have_not_taken_a_bundle() -> None:
    boards = {"taken": ["a"], "waiting": ["b", "c"], "silent": ["d"], "pinned": {"e": "old"}, "fusion_pinned": {}}
    sent = as_sent({"bundle": "own", "boards": boards | {"reasons": {"b": "it is not signed"}}})
    assert sent.taken == ("a",)
    assert sent.others == ("b not yet: it is not signed", "c not yet", "d is silent", "e keeps 'old'")
