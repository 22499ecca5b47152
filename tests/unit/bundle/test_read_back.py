"""Reading a pushed bundle back: whether the broker has kept it whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.memory_broker import MemoryBroker
from tests.unit.bundle.helpers import NAMES, SITE, chunks_of, publish_bundle, received, ref_of
from vp_mqtt.bundle import read_back
from vp_mqtt.bundle.read_back import ReadBack, check_kept
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.chunks import ChunkError


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_back, "_POLL_S", 0.001)
    monkeypatch.setattr(read_back, "_STALL_S", 2.0)


@pytest.mark.parametrize("last", ["manifest/0", "model/0/0", "model/5/0"])
def test_a_bundle_is_whole_with_its_last_chunk_whichever_that_is(bundle: Path, last: str) -> None:
    reading = ReadBack(ref_of(bundle))
    chunks = chunks_of(bundle)
    topic = f"vp/{SITE}/bundle/{ref_of(bundle).digest}/{last}"
    for other in chunks.keys() - {topic}:
        reading.add(received(other, chunks[other]))
        assert not reading.is_whole()
    reading.add(received(topic, chunks[topic]))
    assert reading.is_whole()


def test_a_bundle_with_a_model_too_many_is_not_whole(bundle: Path) -> None:
    reading = ReadBack(ref_of(bundle))
    chunks = chunks_of(bundle, 10_000)
    reading.add(received(NAMES.model(ref_of(bundle).digest, 6, 0), chunks[NAMES.model(ref_of(bundle).digest, 5, 0)]))
    for topic, chunk in chunks.items():
        reading.add(received(topic, chunk))
    assert not reading.is_whole()


def test_manifest_and_models_have_limits_of_their_own(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref, chunks = ref_of(bundle), chunks_of(bundle, 10_000)
    manifest, model = NAMES.manifest(ref.digest, 0), NAMES.model(ref.digest, 0, 0)
    monkeypatch.setattr(read_back, "MAX_MANIFEST_BYTES", len(chunks[manifest]) - 12)
    monkeypatch.setattr(read_back, "MAX_MODEL_BYTES", len(chunks[model]) - 12)
    reading = ReadBack(ref)
    reading.add(received(manifest, chunks[manifest]))
    reading.add(received(model, chunks[model]))
    for limit, topic in (("MAX_MANIFEST_BYTES", manifest), ("MAX_MODEL_BYTES", model)):
        monkeypatch.setattr(read_back, limit, len(chunks[topic]) - 13)
        with pytest.raises(ChunkError, match="file too large or empty"):
            ReadBack(ref).add(received(topic, chunks[topic]))


def test_a_model_of_another_bundle_is_not_kept_whole(
    broker: MemoryBroker, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ref = publish_bundle(broker, bundle)

    def check() -> None:
        check_kept(BrokerOptions(), site=SITE, client_id="check", ref=ref)

    check()
    topic = NAMES.model(ref.digest, 4, 0)
    good = broker.retained[topic]
    for damaged, reason in (
        (good[:-1] + b"?", "read back: the model of its variant 4 has another digest"),
        (good[:-1], "read back: chunk of the wrong length"),
    ):
        broker.retained[topic] = damaged
        with pytest.raises(UserError, match="has not kept the bundle 'tiny' whole"):
            check()
        assert caplog.messages[-1] == reason
    broker.retained[topic] = good
    check()
    broker.failure = UserError("refused")
    with pytest.raises(UserError, match=r"^refused$"):
        check()
    assert broker.running == []
