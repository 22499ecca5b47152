"""Sending from the page and going back, with real boards on a real Mosquitto."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.site import SITE, Site
from tests.support.tiny import CLASSES, write_bundle
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.protocol.messages import StatusMessage
from vp_mqtt.protocol.topics import Kind
from vp_mqtt.web.teaching.job import JobState
from vp_mqtt.web.teaching.place import open_teaching, teach_folder
from vp_mqtt.web.teaching.results import Held, Result
from vp_mqtt.web.teaching.trainer import Trainer


def trainer_of(settings: WebSettings, running: Callable[[], str | None], out: Path) -> Trainer:
    folder = teach_folder(settings)
    trainer = Trainer(settings, folder, open_teaching(settings, folder), running=running)
    held = Held(images=4, fused=1.0, interval=(0.5, 1.0), variants=(1.0,))
    digest = open_bundle(out).manifest.digest.hex()
    trainer.result = Result(
        bundle="own", digest=digest, out=str(out), classes=CLASSES, pictures=8, seconds=1.0, after=held
    )
    return trainer


def test_the_page_goes_back_to_what_the_boards_ran_before_the_first_push(
    site: Site, broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VP_BUNDLE_CACHE", str(tmp_path / "cache"))
    probe = site.probe

    def statuses() -> list[StatusMessage]:
        return [StatusMessage.decode(message.payload) for message in probe.of(Kind.STATUS) if message.payload]

    def running() -> str | None:
        return statuses()[-1].digest

    def ended(begin: Callable[[], None], bundle: str) -> None:
        begin()
        job = trainer._job
        assert job is not None
        assert job.wait(60)
        assert job.view().state is JobState.DONE, job.view()
        assert trainer.sent is not None
        assert (trainer.sent.bundle, trainer.sent.taken) == (bundle, ("v0",))
        probe.until(lambda: statuses()[-1].bundle == bundle, f"v0 runs {bundle}")

    site.start("v0", "node", "--variant", "0", "--fallback", "fashion-mnist", "--bundle", "auto")
    site.await_online("v0", timeout=40)
    settings = WebSettings(broker=broker.url, site=SITE, teach=tmp_path / "teach")
    own = write_bundle(tmp_path / "own", "own")
    trainer = trainer_of(settings, running, own)
    ended(trainer.send, "own")
    ended(trainer.send, "own")
    # After a restart of the page, too.
    trainer = trainer_of(settings, running, own)
    ended(trainer.roll_back, "fashion-mnist")
    # From now on, the broker keeps both.
    ended(trainer.roll_back, "own")
    ended(trainer.roll_back, "fashion-mnist")
