"""`vp push`, step by step: what is at the broker after each, and what ends a push."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.memory_broker import MemoryBroker
from tests.support.tiny import write_bundle
from tests.unit.bundle.helpers import NAMES, SITE, chunks_of, ref_of, status
from vp_mqtt.bundle import package, publish, read_back
from vp_mqtt.bundle.adoption import Adoption
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.bundle.package import pack
from vp_mqtt.bundle.publish import Pushed, Pusher
from vp_mqtt.bundle.signing import Verifier, generate
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.config.settings import PushSettings
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.bundle_pointer import BundlePointer

NOBODY = Adoption(taken=(), waiting=(), silent=(), pinned={}, fusion_pinned={})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_QUIET_S", 0.0)
    monkeypatch.setattr(publish, "_POLL_S", 0.001)
    monkeypatch.setattr(publish, "_POINTER_WITHIN_S", 2.0)
    monkeypatch.setattr(read_back, "_POLL_S", 0.001)
    monkeypatch.setattr(read_back, "_STALL_S", 2.0)


def pusher(chunk_bytes: int = 300, ready_within_s: float = 0.0, taken_within_s: float = 0.0) -> Pusher:
    return Pusher(
        BrokerOptions(),
        site=SITE,
        node="push",
        chunk_bytes=chunk_bytes,
        ready_within_s=ready_within_s,
        taken_within_s=taken_within_s,
    )


def push(folder: Path, chunk_bytes: int = 300, **options: Any) -> Pushed:
    return pusher(chunk_bytes, **options).push(pack(open_bundle(folder), None))


def assert_is_duration(seconds: float) -> None:
    """Assert that it is the duration of a test, in seconds, to the ms."""
    assert isinstance(seconds, float)
    assert 0 <= seconds < 60
    assert seconds == round(seconds, 3)


def current_pointer(broker: MemoryBroker) -> BundlePointer:
    return BundlePointer.decode(broker.retained[NAMES.bundle()])


# What is pushed


def test_a_package_has_every_file_of_the_bundle(bundle: Path, tmp_path: Path) -> None:
    package = pack(open_bundle(bundle), None)
    assert package.manifest == (bundle / MANIFEST_NAME).read_bytes()
    assert package.models == [(bundle / f"variant-{index}.onnx").read_bytes() for index in range(6)]
    assert package.ref == ref_of(bundle)
    assert package.chunks(NAMES, 300) == chunks_of(bundle)
    assert len(package.chunks(NAMES, 10**9)) == 7
    public = generate(tmp_path / "key")
    signed = pack(open_bundle(bundle), tmp_path / "key")
    Verifier(public).check(signed.manifest, signed.ref.signature)


def test_files_over_the_limits_are_not_pushed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_bundle(bundle)
    manifest_bytes = len(opened.manifest.canonical())
    model_bytes = max(len(opened.model_bytes(index)) for index in range(6))
    monkeypatch.setattr(package, "MAX_MANIFEST_BYTES", manifest_bytes)
    monkeypatch.setattr(package, "MAX_MODEL_BYTES", model_bytes)
    pack(opened, None)
    monkeypatch.setattr(package, "MAX_MODEL_BYTES", model_bytes - 1)
    with pytest.raises(UserError, match=r"a model of more than [0-9,]+ bytes is not pushed$"):
        pack(opened, None)
    monkeypatch.setattr(package, "MAX_MANIFEST_BYTES", manifest_bytes - 1)
    with pytest.raises(UserError, match=r"a manifest of more than [0-9,]+ bytes is not pushed$"):
        pack(opened, None)


def test_too_small_chunks_are_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vp_mqtt.protocol.chunks.MAX_CHUNKS", 3)
    with pytest.raises(UserError, match=r"more than 3 chunks; allow larger ones with --chunk-bytes$"):
        pack(open_bundle(bundle), None).chunks(NAMES, 100)


# Pushes


def test_a_first_push_publishes_the_chunks_then_points_to_them(broker: MemoryBroker, bundle: Path) -> None:
    began = time.time()
    done = push(bundle)
    ref, chunks = ref_of(bundle), chunks_of(bundle)
    assert {topic: broker.retained[topic] for topic in chunks} == chunks
    assert broker.topics == chunks.keys() | {NAMES.bundle()}
    assert [message.topic for message in broker.log] == [*chunks, NAMES.bundle(), NAMES.bundle()]
    first, second = (BundlePointer.decode(message.payload) for message in broker.log[-2:])
    for pushed in (first.pushed, second.pushed):
        assert began - 1 <= pushed <= time.time() + 1
        assert pushed == round(pushed, 3)
    assert (first.current, first.previous, first.next) == (None, None, ref)
    assert (second.current, second.previous, second.next) == (ref, None, None)
    assert [message.content_type for message in broker.log[-2:]] == ["application/json"] * 2
    assert_is_duration(done.seconds)
    assert done == Pushed(
        bundle="tiny",
        digest=ref.digest,
        signed=False,
        previous=None,
        chunks=len(chunks),
        chunk_bytes=300,
        bytes=sum(map(len, chunks.values())),
        adoption=NOBODY,
        cleared=0,
        seconds=done.seconds,
    )
    assert broker.sessions == [f"vp-{SITE}-push-push", f"vp-{SITE}-push-check"]
    assert broker.running == []


def test_a_second_push_keeps_the_bundle_before_and_clears_others(
    broker: MemoryBroker, bundle: Path, other_bundle: Path
) -> None:
    push(bundle)
    stray = NAMES.manifest("ab" * 32, 0), NAMES.model("cd" * 32, 0, 0)
    for topic in stray:
        broker.publish(topic, b"old")
    done = push(other_bundle)
    assert (done.previous, done.cleared) == (ref_of(bundle).digest, 2)
    found = current_pointer(broker)
    assert (found.current, found.previous, found.next) == (ref_of(other_bundle), ref_of(bundle), None)
    assert broker.topics == chunks_of(bundle).keys() | chunks_of(other_bundle).keys() | {NAMES.bundle()}


def test_the_same_bundle_again_in_larger_chunks_leaves_no_small_ones(
    broker: MemoryBroker, bundle: Path, other_bundle: Path
) -> None:
    push(other_bundle)
    push(bundle, 100)
    log = len(broker.log)
    done = push(bundle, 1000)
    assert broker.topics == chunks_of(bundle, 1000).keys() | chunks_of(other_bundle).keys() | {NAMES.bundle()}
    assert done.previous == ref_of(other_bundle).digest, "not itself"
    pointers = [message for message in broker.log[log:] if message.topic == NAMES.bundle()]
    assert len(pointers) == 1, "nodes run it already: nothing to prepare"


def test_chunks_fit_into_the_brokers_packets(broker: MemoryBroker, bundle: Path) -> None:
    broker.max_publish_bytes = 1000
    done = push(bundle, 5000)
    assert done.chunk_bytes == 1000 - 12 - 256
    assert max(message.packet_bytes() for message in broker.log) <= 1000
    for limit in (12 + 256, 200):
        broker.max_publish_bytes = limit
        with pytest.raises(UserError, match="it accepts no packets large enough for a chunk"):
            push(bundle)


def test_nothing_is_switched_before_the_chunks_can_be_read_back(
    broker: MemoryBroker, bundle: Path, other_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(bundle)
    monkeypatch.setattr(read_back, "_STALL_S", 0.05)
    lost = NAMES.model(ref_of(other_bundle).digest, 3, 0)
    broker.accepts = lambda topic: topic != lost
    with pytest.raises(UserError) as caught:
        push(other_bundle)
    assert str(caught.value) == (
        "broker mqtt://127.0.0.1:1883: it has not kept the bundle 'other' whole; "
        "check its access rules and its limits on retained messages. Nothing was switched"
    )
    assert current_pointer(broker).current == ref_of(bundle)
    assert current_pointer(broker).next is None
    assert broker.running == []


def test_a_pointer_that_the_broker_does_not_pass_on_is_reported(
    broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_POINTER_WITHIN_S", 0.02)
    broker.accepts = lambda topic: topic != NAMES.bundle()
    with pytest.raises(UserError, match=rf"it did not accept vp/{SITE}/bundle/current; check its access rules$"):
        push(bundle)


def test_messages_that_are_not_acknowledged_end_the_push(broker: MemoryBroker, bundle: Path) -> None:
    chunks = list(chunks_of(bundle))
    for lost in (chunks[0], chunks[-1]):
        broker.log.clear()
        broker.acknowledges = lambda topic, lost=lost: topic != lost  # type: ignore[misc]
        with pytest.raises(UserError, match="it does not acknowledge a message, or the connection broke; push again"):
            push(bundle)
        assert NAMES.bundle() not in broker.retained
        assert len(broker.log) == (10 if lost == chunks[0] else len(chunks)), "ten are in flight"
    assert broker.running == []


def test_messages_that_cannot_be_sent_end_the_push(
    broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_OVERHEAD_BYTES", 0)
    broker.max_publish_bytes = 400
    topic = NAMES.manifest(ref_of(bundle).digest, 0)
    with pytest.raises(UserError, match=rf"it does not accept {topic} \([0-9,]+ bytes\), or the connection broke"):
        push(bundle, 1000)


def test_a_permanent_failure_of_the_session_is_the_reason(broker: MemoryBroker, bundle: Path) -> None:
    broker.failure = UserError("refused")
    with pytest.raises(UserError, match=r"^refused$"):
        push(bundle)


def test_fusion_nodes_that_do_not_get_ready_are_named(
    broker: MemoryBroker, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, ready in (("z", ("ab" * 4,)), ("a", ("cd" * 4,)), ("ready", ("ab" * 4, ref_of(bundle).digest[:8]))):
        broker.publish(NAMES.status(name), status(name, ready=ready))
    push(bundle, ready_within_s=0.02)
    assert "a, z did not get ready within 0.02 s; switching nevertheless" in caplog.messages
    assert current_pointer(broker).current == ref_of(bundle)


def test_the_switch_comes_as_soon_as_the_fusion_nodes_are_ready(
    broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker.publish(NAMES.status("fusion"), status(ready=("ab" * 4,)))
    sleeps: list[float] = []

    def becomes_ready(seconds: float) -> None:
        sleeps.append(seconds)
        is_prepared = NAMES.bundle() in broker.retained and current_pointer(broker).next is not None
        if is_prepared and len(sleeps) > 5:
            broker.publish(NAMES.status("fusion"), status(ready=(ref_of(bundle).digest[:8],)))

    monkeypatch.setattr("vp_mqtt.bundle.publish.time.sleep", becomes_ready)
    push(bundle, ready_within_s=60)
    assert len(sleeps) >= 6
    assert not any("did not get ready" in message for message in caplog.messages)


def test_what_the_broker_retains_is_read_until_it_is_quiet(
    broker: MemoryBroker, bundle: Path, other_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(bundle)
    late = broker.retained.pop(NAMES.bundle())
    sleeps: list[float] = []

    def arrives_late(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 3:
            broker.publish(NAMES.bundle(), late)
            monkeypatch.setattr(publish, "_QUIET_S", 0.0)

    monkeypatch.setattr(publish, "_QUIET_S", 60.0)
    monkeypatch.setattr("vp_mqtt.bundle.publish.time.sleep", arrives_late)
    push(other_bundle)
    assert set(sleeps) == {0.001}
    assert current_pointer(broker).previous == ref_of(bundle)


def test_the_boards_that_follow_the_site_are_waited_for(
    broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = ref_of(bundle).digest[:8]
    broker.publish(NAMES.status("v0"), status("v0", role="variant"))
    sleeps: list[float] = []

    def takes_it(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 5:
            broker.publish(NAMES.status("v0"), status("v0", role="variant", digest=digest))

    monkeypatch.setattr("vp_mqtt.bundle.publish.time.sleep", takes_it)
    done = push(bundle, taken_within_s=60.0)
    assert done.adoption.taken == ("v0",)
    assert not done.adoption.is_refused
    broker.publish(NAMES.status("v0"), status("v0", role="variant"))
    done = push(bundle, taken_within_s=0.0)
    assert done.adoption.waiting == ("v0",)
    assert done.adoption.is_refused


# Roll-backs


def test_a_roll_back_switches_to_the_previous_bundle(broker: MemoryBroker, bundle: Path, other_bundle: Path) -> None:
    push(bundle)
    push(other_bundle)
    log = len(broker.log)
    done = pusher().roll_back()
    assert_is_duration(done.seconds)
    assert done == Pushed(
        bundle="tiny",
        digest=ref_of(bundle).digest,
        signed=False,
        previous=ref_of(other_bundle).digest,
        adoption=NOBODY,
        cleared=0,
        seconds=done.seconds,
    )
    found = current_pointer(broker)
    assert (found.current, found.previous, found.next) == (ref_of(bundle), ref_of(other_bundle), None)
    assert {message.topic for message in broker.log[log:]} == {NAMES.bundle()}


def test_a_roll_back_to_nothing_is_refused(broker: MemoryBroker, bundle: Path) -> None:
    with pytest.raises(UserError, match=rf"^site '{SITE}': no bundle was pushed to it yet"):
        pusher().roll_back()
    push(bundle)
    with pytest.raises(UserError, match=rf"^site '{SITE}': there is no bundle to go back to: only one was pushed yet$"):
        pusher().roll_back()
    push(bundle)
    assert broker.running == []


def test_a_roll_back_to_a_bundle_that_is_no_longer_whole_is_refused(
    broker: MemoryBroker, bundle: Path, other_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(bundle)
    push(other_bundle)
    monkeypatch.setattr(read_back, "_STALL_S", 0.05)
    del broker.retained[NAMES.model(ref_of(bundle).digest, 0, 0)]
    with pytest.raises(UserError, match="has not kept the bundle 'tiny' whole"):
        pusher().roll_back()
    assert current_pointer(broker).current == ref_of(other_bundle)


def test_run_pushes_or_rolls_back_what_the_settings_say(
    broker: MemoryBroker, bundle: Path, other_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = PushSettings(site=SITE, chunk_bytes=300, ready_within=0, taken_within=0, name="me")
    with pytest.raises(UserError, match=r"^name a bundle to push, or give --rollback$"):
        publish.run(settings, None, rollback=False)
    with pytest.raises(UserError, match=r"^--rollback returns to the bundle pushed before: do not name one"):
        publish.run(settings, bundle, rollback=True)
    assert broker.sessions == []
    assert publish.run(settings, bundle, rollback=False).chunk_bytes == 300
    assert broker.sessions == [f"vp-{SITE}-me-push", f"vp-{SITE}-me-check"]
    generate(tmp_path / "key")
    signing = settings.model_copy(update={"sign": tmp_path / "key"})
    signed = publish.run(signing, str(other_bundle), rollback=False)
    assert (signed.signed, signed.previous_signed) == (True, False)
    assert not caplog.messages
    back = publish.run(settings, None, rollback=True)
    assert (back.bundle, back.previous_signed) == ("tiny", True)
    warning = f"the bundle 'tiny' is not signed, as the switches of site '{SITE}' are or were: nodes with a key will"
    assert [message.startswith(warning) for message in caplog.messages] == [True]
    # There and back: only the bundle that was never signed is refused.
    for warned in (1, 2):
        publish.run(signing, None, rollback=True)
        assert [message.startswith(warning) for message in caplog.messages] == [True] * warned


def test_progress_is_logged(broker: MemoryBroker, bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    del broker
    caplog.set_level(logging.INFO)
    push(bundle)
    ref = ref_of(bundle)
    assert caplog.messages == [
        f"{len(chunks_of(bundle))} chunks of 'tiny' are at the broker",
        f"the bundle of the site '{SITE}' is now 'tiny' ({ref.digest[:8]})",
    ]


def test_a_broker_that_sends_nothing_retained_to_wildcards_is_pushed_to_rolled_back_and_left_tidy(
    broker: MemoryBroker, bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    third_bundle = write_bundle(tmp_path, "third")
    broker.knows_wildcards = False
    push(bundle)
    push(other_bundle)
    done = pusher().roll_back()
    assert (done.digest, done.cleared) == (ref_of(bundle).digest, 0)
    assert push(third_bundle).cleared == len(chunks_of(other_bundle))
    assert broker.topics == chunks_of(bundle).keys() | chunks_of(third_bundle).keys() | {NAMES.bundle()}
