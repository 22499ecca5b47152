"""A model that hangs on certain pictures ends its process, and the next start no longer trusts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.tiny import write_bundle
from tests.system.test_push import Pushing
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Kind

# The model of the bundle "trap" hangs on a red picture, as a runtime's fault may make one hang.
_TRAP = """
import time
from dataclasses import replace
from vp_mqtt.nodes import model_at_work, variant
model_at_work.LIMIT_S = variant.LIMIT_S = 1.0
_load = variant.load_variant
def _loading(bundle, *arguments, **options):
    loaded = _load(bundle, *arguments, **options)
    def _predict(batch):
        while bundle.manifest.name == "trap" and batch[0, 0].mean() > 0.5:
            time.sleep(0.1)
        return loaded.predict(batch)
    return replace(loaded, predict=_predict)
variant.load_variant = _loading
"""


@pytest.fixture
def site(broker: Mosquitto, tmp_path: Path) -> Iterator[Pushing]:
    with Pushing(broker.url, broker.port, write_bundle(tmp_path / "good", "good"), tmp_path) as running:
        yield running


def test_a_bundle_whose_model_hangs_is_tried_again_and_in_the_end_the_one_before_is_used(
    site: Pushing, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_TRAP, encoding="utf-8")
    environment = {
        "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}",
        "VP_BUNDLE_CACHE": str(tmp_path / "cache"),
    }

    def start(bundle: str) -> None:
        site.probe.received.clear()
        site.start("v0", "node", "--variant", "0", environment=environment)
        site.await_online("v0")
        site.await_bundle(bundle, "v0")

    site.push(str(site.bundle), "--ready-within", "1")
    start("good")
    taken = site.push(str(write_bundle(tmp_path / "trap", "trap")), "--ready-within", "1")
    assert "1 of 1 boards that follow the site run it now" in taken
    for hangs in (1, 2):
        site.probe.publish_frame(FrameId(1, hangs), "red")
        assert site.wait("v0", 10) == 1
        assert site.log("v0").count("takes more than 1 s for a picture: ending") == hangs
        start("trap" if hangs == 1 else "good")
    site.await_log("v0", "its model has hung on this machine repeatedly; push another bundle")
    site.probe.publish_frame(FrameId(1, 3), "red")
    site.probe.until(lambda: site.probe.of(Kind.VOTE), "a vote")
