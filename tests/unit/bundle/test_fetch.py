"""What arrives from the broker is a bundle with the right digests, or refused with the reason."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.memory_broker import MemoryBroker
from tests.unit.bundle.helpers import NAMES, SITE, publish_bundle, ref_of
from vp_mqtt.bundle import fetch
from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.fetch import Fetcher, FetchError, Interrupted, check_manifest
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.bundle.signing import SignatureError, Verifier, generate, sign
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.bundle_pointer import BundleRef


def never(seconds: float) -> bool:
    """Wait for nothing, and do not stop."""
    assert 0 < seconds <= 1
    return False


# Manifests


def altered(folder: Path, change: Callable[[dict[str, Any]], None]) -> tuple[bytes, BundleRef]:
    fields = json.loads((folder / MANIFEST_NAME).read_bytes())
    change(fields)
    data = json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    return data, BundleRef(name="tiny", digest=hashlib.sha256(data).hexdigest())


def test_a_manifest_with_the_right_digest_is_accepted(bundle: Path) -> None:
    data = (bundle / MANIFEST_NAME).read_bytes()
    assert check_manifest(data, ref_of(bundle), Verifier(None)) == open_bundle(bundle).manifest


def test_a_manifest_with_another_digest_is_refused(bundle: Path, other_bundle: Path) -> None:
    with pytest.raises(FetchError, match=r"^its manifest has another digest$"):
        check_manifest((bundle / MANIFEST_NAME).read_bytes(), ref_of(other_bundle), Verifier(None))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(format=2), r"^its manifest is not valid \(format: must be 1\)$"),
        (
            lambda m: m["variants"][0].update(file="../x"),
            r"not valid \(variants\[0\]\.file: must match the pattern",
        ),
        (lambda m: m["variants"][1].update(file=MANIFEST_NAME), "duplicate or too long file names"),
        (lambda m: m["variants"][1].update(file="variant-0.onnx"), "duplicate or too long file names"),
        (lambda m: m["variants"][5].update(file="x" * 101), "duplicate or too long file names"),
    ],
)
def test_a_manifest_that_is_not_valid_is_refused(
    bundle: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    data, ref = altered(bundle, change)
    with pytest.raises(FetchError, match=reason):
        check_manifest(data, ref, Verifier(None))


def test_a_file_name_of_a_hundred_characters_is_accepted(bundle: Path) -> None:
    data, ref = altered(bundle, lambda m: m["variants"][5].update(file="x" * 100))
    assert check_manifest(data, ref, Verifier(None)).variants[5].file == "x" * 100


def test_a_manifest_in_another_layout_is_refused(bundle: Path) -> None:
    data = json.dumps(json.loads((bundle / MANIFEST_NAME).read_bytes())).encode()
    ref = BundleRef(name="tiny", digest=hashlib.sha256(data).hexdigest())
    with pytest.raises(FetchError, match=r"^its manifest is not in canonical form$"):
        check_manifest(data, ref, Verifier(None))


def test_the_signature_is_checked_before_anything_is_parsed(tmp_path: Path) -> None:
    public = generate(tmp_path / "key")
    data = b"not JSON"
    ref = BundleRef(name="tiny", digest=hashlib.sha256(data).hexdigest())
    with pytest.raises(SignatureError, match="not signed"):
        check_manifest(data, ref, Verifier(public))
    signed = ref.model_copy(update={"signature": sign(data, tmp_path / "key")})
    with pytest.raises(FetchError, match="not valid JSON"):
        check_manifest(data, signed, Verifier(public))


# Fetching


@pytest.fixture
def make(tmp_path: Path, broker: MemoryBroker) -> Callable[..., Fetcher]:
    del broker

    def fetcher(variant: int | None = 2, key: Path | None = None) -> Fetcher:
        verifier = Verifier(key)
        return Fetcher(
            BrokerOptions(),
            site=SITE,
            client_id="me",
            variant=variant,
            cache=Cache(tmp_path / "cache", SITE, verifier),
            verifier=verifier,
        )

    return fetcher


def stored(tmp_path: Path) -> set[str]:
    return {str(path.relative_to(tmp_path / "cache" / SITE)) for path in (tmp_path / "cache").rglob("*.*")}


@pytest.mark.parametrize("variant", [None, 2])
def test_a_bundle_is_fetched_once_with_the_model_that_is_needed(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path, tmp_path: Path, variant: int | None
) -> None:
    ref = publish_bundle(broker, bundle)
    found = make(variant).fetch(ref, never)
    assert found.manifest == open_bundle(bundle).manifest
    assert broker.sessions == ["me"]
    files = {MANIFEST_NAME} if variant is None else {MANIFEST_NAME, "variant-2.onnx"}
    assert stored(tmp_path) == {f"{ref.digest}/{file}" for file in files}
    assert make(variant).fetch(ref, never) == found
    assert broker.sessions == ["me"], "from the disk"


def test_chunks_are_asked_for_a_few_at_a_time_and_only_those_that_are_needed(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path
) -> None:
    ref = publish_bundle(broker, bundle, 20)
    make(2).fetch(ref, never)
    _, first, *more = broker.asked
    assert first == [NAMES.manifest(ref.digest, 0)]
    assert all(len(asked) <= 64 for asked in more)
    asked = [topic for topics in broker.asked for topic in topics]
    assert sorted(asked) == sorted(t for t in broker.topics if "/manifest/" in t or "/model/2/" in t), "each once"


def test_a_chunk_that_floods_is_left_at_the_broker(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path
) -> None:
    ref = publish_bundle(broker, bundle)
    wanted = NAMES.manifest(ref.digest, 0)
    del broker.retained[wanted]

    def flood(_seconds: float) -> bool:
        (session,) = broker.running
        for _ in range(100):
            broker.publish(wanted, b"junk", retain=False)
        assert wanted not in session._filters
        return True

    with pytest.raises(Interrupted):
        make(2).fetch(ref, flood)


def test_a_model_with_another_digest_is_refused_and_nothing_is_kept(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path, tmp_path: Path
) -> None:
    ref = publish_bundle(broker, bundle)
    topic = NAMES.model(ref.digest, 2, 0)
    broker.retained[topic] = broker.retained[topic][:-1] + b"?"
    with pytest.raises(FetchError) as caught:
        make().fetch(ref, never)
    assert str(caught.value) == "the model of its variant 2 has another digest than the manifest says"
    assert stored(tmp_path) == set()


def test_a_variant_beyond_the_family_is_a_user_error(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path
) -> None:
    ref = publish_bundle(broker, bundle)
    for topic in [topic for topic in broker.topics if "/model/5/" in topic]:
        broker.publish(topic.replace("/model/5/", "/model/6/"), broker.retained[topic])
    with pytest.raises(UserError, match=r"^variant 6: the bundle 'tiny' has no such variant$"):
        make(6).fetch(ref, never)


def test_an_unsigned_bundle_is_refused_where_a_key_is_trusted(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path, tmp_path: Path
) -> None:
    public = generate(tmp_path / "key")
    ref = publish_bundle(broker, bundle)
    with pytest.raises(SignatureError):
        make(2, public).fetch(ref, never)
    assert stored(tmp_path) == set()
    signature = sign((bundle / MANIFEST_NAME).read_bytes(), tmp_path / "key")
    assert make(2, public).fetch(ref.model_copy(update={"signature": signature}), never)


def test_where_a_key_is_trusted_nothing_is_fetched_for_a_pointer_that_it_did_not_sign(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path, tmp_path: Path
) -> None:
    fetcher, ref = make(2, generate(tmp_path / "key")), publish_bundle(broker, bundle)
    signature = sign((bundle / MANIFEST_NAME).read_bytes(), tmp_path / "key")
    forged = ref.model_copy(update={"signature": signature, "switch": 7, "switch_signature": signature})
    for unsigned in (ref, forged):
        with pytest.raises(SignatureError):
            fetcher.fetch(unsigned, never)
    assert broker.sessions == [], "not even a connection"
    # A pointer of a version that signed no switches: the manifest decides, before anything of a model is asked for.
    invented = ref.model_copy(update={"signature": "ab" * 64})
    with pytest.raises(SignatureError, match="not by the key that is trusted"):
        fetcher.fetch(invented, never)
    assert not [topic for topics in broker.asked for topic in topics if "/model/" in topic]
    assert not (tmp_path / "cache").exists()


def test_parts_of_one_bundle_are_kept_at_a_time(
    *,
    make: Callable[..., Fetcher],
    broker: MemoryBroker,
    bundle: Path,
    other_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "STALL_S", 0.2)
    fetcher, partial = make(), tmp_path / "cache" / SITE / "partial"
    for folder in (bundle, other_bundle):
        ref = publish_bundle(broker, folder, 100)
        broker.retained.pop(max(topic for topic in broker.topics if f"{ref.digest}/model/2/" in topic))
        with pytest.raises(FetchError, match="does not have all of it"):
            fetcher.fetch(ref, never)
        assert [path.name for path in partial.iterdir()] == [ref.digest]
        assert list((partial / ref.digest).iterdir())


def test_waiting_ends_when_the_node_is_told_to_stop(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path
) -> None:
    waits: list[float] = []

    def stop_at_third(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 3

    with pytest.raises(Interrupted):
        make().fetch(ref_of(bundle), stop_at_third)
    assert waits == [0.05] * 3
    assert broker.running == []


def test_a_chunk_that_never_comes_ends_the_wait(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "STALL_S", 0.02)
    ref = publish_bundle(broker, bundle)
    last = max(topic for topic in broker.topics if "/model/2/" in topic)
    chunk = broker.retained.pop(last)
    with pytest.raises(FetchError, match=r"^the broker does not have all of it$"):
        make().fetch(ref, never)
    broker.retained[last] = chunk[:-1]
    with pytest.raises(FetchError, match=r"^the broker does not have all of it \(chunk of the wrong length\)$"):
        make().fetch(ref, never)
    assert broker.running == []


def test_the_wait_is_for_a_broker_that_is_there(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "STALL_S", 0.05)
    broker.is_reachable = False
    waits: list[float] = []

    def stop_after_the_stall(seconds: float) -> bool:
        time.sleep(0.02)
        waits.append(seconds)
        return len(waits) == 5

    with pytest.raises(Interrupted):
        make().fetch(ref_of(bundle), stop_after_the_stall)


def test_the_brokers_refusal_is_passed_on(make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path) -> None:
    broker.failure = UserError("broker: it refused the connection")
    with pytest.raises(UserError, match="refused the connection"):
        make().fetch(ref_of(bundle), never)


def test_a_bundle_that_cannot_be_used_is_logged_once_per_reason(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    fetcher = make(2)
    ref = publish_bundle(broker, bundle)
    topic = NAMES.model(ref.digest, 2, 0)
    good = broker.retained[topic]
    broker.retained[topic] = good[:-1] + b"?"
    assert fetcher.try_fetch(ref, never) is None
    assert fetcher.try_fetch(ref, never) is None
    prefix = f"the bundle 'tiny' ({ref.digest[:8]}) is not accepted: "
    digest = prefix + "the model of its variant 2 has another digest than the manifest says"
    assert [record.getMessage() for record in caplog.records] == [digest]
    broker.failure = UserError("refused")
    broker.retained.clear()
    assert fetcher.try_fetch(ref, never) is None
    assert [record.getMessage() for record in caplog.records] == [digest, prefix + "refused"]
    broker.failure = None
    publish_bundle(broker, bundle)
    assert fetcher.try_fetch(ref, never) is not None


def test_a_model_that_no_runtime_may_see_is_neither_kept_nor_fetched_again(
    *,
    make: Callable[..., Fetcher],
    broker: MemoryBroker,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_: bytes) -> None:
        raise UserError("the model is refused: it has subgraphs")

    monkeypatch.setattr(fetch, "check_model", refuse)
    ref, fetcher = publish_bundle(broker, bundle), make()
    assert fetcher.try_fetch(ref, never) is None
    assert fetcher.try_fetch(ref, never) is None
    assert broker.sessions == ["me"]
    assert stored(tmp_path) == set()
    assert [message.partition(": ")[2] for message in caplog.messages] == ["the model is refused: it has subgraphs"]


def test_a_bundle_with_the_short_digest_of_a_known_one_is_refused(
    make: Callable[..., Fetcher], broker: MemoryBroker, bundle: Path
) -> None:
    ref, fetcher = publish_bundle(broker, bundle), make()
    fetcher.note(ref.digest[:8] + "0" * 56)
    with pytest.raises(FetchError, match="it has the short digest of another bundle"):
        fetcher.fetch(ref, never)


def test_being_told_to_stop_is_no_reason_to_log(make: Callable[..., Fetcher], bundle: Path) -> None:
    with pytest.raises(Interrupted):
        make().try_fetch(ref_of(bundle), lambda _: True)
