"""What a push does when another one is at work, and how switches are numbered."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.support.memory_broker import MemoryBroker
from tests.unit.bundle.helpers import NAMES, SITE, pointer, publish_bundle, ref_of, status
from tests.unit.bundle.test_publish import current_pointer, push, pusher, short_waits
from vp_mqtt.bundle import publish
from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.fetch import Fetcher
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.package import numbered, pack
from vp_mqtt.bundle.signing import Verifier, generate
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MessageError

__all__ = ["short_waits"]


def test_a_push_that_another_one_overtakes_ends_with_an_error(
    broker: MemoryBroker, bundle: Path, other_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.publish(NAMES.status("fusion"), status(ready=("00000000",)))
    mine = pusher(ready_within_s=0.05)
    other = publish_bundle(broker, other_bundle)
    monkeypatch.setattr(mine, "_await_ready", lambda _: broker.publish(NAMES.bundle(), pointer(other).encode()))
    with pytest.raises(UserError, match="someone else pushes 'other' to site 'home' as well"):
        mine.push(pack(open_bundle(bundle), None))
    assert current_pointer(broker) == pointer(other)


def test_a_push_whose_chunks_are_cleared_meanwhile_ends_with_an_error(
    broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = pusher()
    chunk = NAMES.model(ref_of(bundle).digest, 0, 0)
    monkeypatch.setattr(mine, "_await_taken", lambda *_: broker.publish(chunk, b""))
    with pytest.raises(UserError, match="someone else cleared chunks of 'tiny'"):
        mine.push(pack(open_bundle(bundle), None))


def test_two_bundles_with_one_short_digest_are_neither_pushed_nor_pointed_to(
    broker: MemoryBroker, bundle: Path
) -> None:
    ref = ref_of(bundle)
    twin = BundleRef(name="twin", digest=ref.digest[:8] + "0" * 56)
    broker.publish(NAMES.bundle(), pointer(twin).encode())
    with pytest.raises(UserError, match="'tiny' has the short digest of another bundle of the site"):
        push(bundle)
    with pytest.raises(MessageError):
        BundlePointer.decode(
            pointer(ref).encode().replace(b'"pushed"', f'"previous":{twin.model_dump_json()},"pushed"'.encode())
        )


def test_switches_are_numbered_and_go_up_even_if_the_clock_does_not(bundle: Path, tmp_path: Path) -> None:
    public = generate(tmp_path / "key")
    first = numbered(ref_of(bundle, "a" * 128), None, SITE, tmp_path / "key")
    ahead = first.model_copy(update={"switch": int(time.time() * 1000) + 60_000})
    second = numbered(first, pointer(ahead), SITE, tmp_path / "key")
    assert second.switch == (ahead.switch or 0) + 1
    assert Verifier(public).check_switch(second, SITE) == second.switch
    absurd = first.model_copy(update={"switch": 2**53 - 1})
    assert (numbered(first, pointer(absurd), SITE, tmp_path / "key").switch or 0) < 2**53 - 1
    with pytest.raises(UserError, match="--sign KEY"):
        numbered(first, pointer(first), SITE, None)


def test_a_node_does_not_go_back_to_an_older_switch_unless_that_is_signed(bundle: Path, tmp_path: Path) -> None:
    key, verifier = tmp_path / "key", Verifier(generate(tmp_path / "key"))
    cache = Cache(tmp_path / "cache", SITE, verifier)
    fetcher = Fetcher(BrokerOptions(), site=SITE, client_id="me", variant=1, cache=cache, verifier=verifier)
    plain = pack(open_bundle(bundle), key).ref
    assert fetcher.why_not_followed(plain) is None, "pushed by an earlier version, and no number has been seen yet"
    old = numbered(plain, None, SITE, key)
    new = numbered(plain, pointer(old), SITE, key)
    fetcher.note_newest(new)
    older = "a newer switch was signed; to go back, sign that: vp push --rollback --sign KEY"
    assert [fetcher.why_not_followed(ref) for ref in (plain, old, new)] == [older, older, None]
    back = numbered(old, pointer(new), SITE, key)
    assert fetcher.why_not_followed(back) is None
    forged = new.model_copy(update={"switch": (new.switch or 0) + 5})
    elsewhere = numbered(plain, pointer(new), "other-site", key)
    unsigned = new.model_copy(update={"signature": None})
    reasons = [str(fetcher.why_not_followed(ref)).partition(";")[0] for ref in (forged, elsewhere, unsigned)]
    other_key = "its signature is not by the key that is trusted here (--bundle-key)"
    assert reasons == [other_key, other_key, "it is not signed"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("topic", "read_within_s"), [(NAMES.status("cam"), 600.0), (NAMES.manifest("ab" * 32, 0), 0.5)]
)
def test_messages_that_never_end_do_not_hold_up_a_push(
    broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch, topic: str, read_within_s: float
) -> None:
    monkeypatch.setattr(publish, "_QUIET_S", 0.2)
    monkeypatch.setattr(publish, "_READ_WITHIN_S", read_within_s)
    is_over = threading.Event()

    def send() -> None:
        while not is_over.wait(0.01):
            broker.publish(topic, status("cam", role="camera"), retain=False)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        assert push(bundle).bundle == "tiny"
    finally:
        is_over.set()
        thread.join()
