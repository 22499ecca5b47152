"""What a node starts with: what its site runs, what it ran last, or the fallback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.memory_broker import MemoryBroker
from tests.unit.bundle.helpers import NAMES, SITE, pointer, publish_bundle, ref_of
from tests.unit.bundle.test_fetch import never
from vp_mqtt.bundle import fetch, initial
from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.follow import AUTO, BROKER, BundleOptions, InitialBundle, Interrupted, initial_bundle
from vp_mqtt.bundle.initial import Use
from vp_mqtt.bundle.package import numbered, pack
from vp_mqtt.bundle.signing import Verifier, generate
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.bundle_pointer import BundlePointer


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "STALL_S", 0.3)
    monkeypatch.setattr(initial, "_RETAINED_WITHIN_S", 0.01)


@pytest.fixture
def begin(tmp_path: Path, other_bundle: Path) -> Callable[..., InitialBundle]:
    def run(  # noqa: PLR0917
        bundle: str = AUTO,
        variant: int | None = 1,
        pause: Callable[[float], bool] = never,
        key_file: Path | None = None,
        fallback: Path = other_bundle,
        use: Use = usable,
    ) -> InitialBundle:
        options = BundleOptions(
            bundle=bundle,
            fallback=str(fallback),
            site=SITE,
            node="pi",
            variant=variant,
            key_file=key_file,
            cache_folder=tmp_path / "cache",
        )
        return initial_bundle(options, BrokerOptions(), use, pause)

    return run


def usable(_bundle: Bundle, _is_proven: bool) -> None:  # noqa: FBT001
    """Load anything."""


def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", SITE, Verifier(None))


def stop_after(count: int) -> Callable[[float], bool]:
    remaining = iter([False] * (count - 1))
    return lambda _: next(remaining, True)


def test_a_pinned_bundle_needs_no_broker(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path, tmp_path: Path
) -> None:
    found = begin(str(bundle), key_file=tmp_path / "not read")
    assert (found.bundle.folder, found.others, found.follower) == (bundle, [], None)
    assert broker.sessions == []


def test_options_say_whether_a_bundle_is_pinned_and_name_the_connection() -> None:
    options = [
        BundleOptions(bundle=name, fallback="x", site="home", node="pi", variant=1) for name in (AUTO, BROKER, "mine")
    ]
    assert [one.is_pinned for one in options] == [False, False, True]
    assert options[0].client_id == "vp-home-pi-bundle"


@pytest.mark.parametrize("bundle_from", [AUTO, BROKER])
def test_a_node_starts_with_what_the_site_runs(
    *,
    begin: Callable[..., InitialBundle],
    broker: MemoryBroker,
    bundle: Path,
    tmp_path: Path,
    bundle_from: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    ref = publish_bundle(broker, bundle)
    broker.publish(NAMES.bundle(), pointer(ref).encode())
    found = begin(bundle_from)
    assert found.bundle.manifest.name == "tiny"
    assert found.others == []
    assert found.follower is not None
    assert broker.sessions == ["vp-home-pi-bundle", "vp-home-pi-bundle-fetch"], "neither ends the other"
    assert [one.manifest.name for one in cache(tmp_path).recall(1)] == ["tiny"]
    line = "looking for the site's bundle at the broker mqtt://127.0.0.1:1883"
    assert (line in caplog.messages) == (bundle_from == BROKER)


def test_if_the_current_bundle_cannot_be_had_the_previous_one_is_used(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    previous = publish_bundle(broker, bundle)
    broker.publish(NAMES.bundle(), pointer(ref_of(other_bundle), previous).encode())
    assert begin().bundle.manifest.name == "tiny"
    assert cache(tmp_path).recall(1) == [], "only the current one is what the site runs"


def test_if_the_broker_has_nothing_what_ran_last_is_used(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path
) -> None:
    ref = publish_bundle(broker, bundle)
    broker.publish(NAMES.bundle(), pointer(ref).encode())
    begin()
    broker.retained.clear()
    for bundle_from in (AUTO, BROKER):
        found = begin(bundle_from)
        assert found.bundle.manifest.name == "tiny"
        assert found.follower is not None


@pytest.mark.parametrize(("variant", "switched"), [(1, ["tiny"]), (None, ["other", "tiny"])])
def test_the_follower_continues_from_there(
    begin: Callable[..., InitialBundle],
    broker: MemoryBroker,
    bundle: Path,
    other_bundle: Path,
    *,
    variant: int | None,
    switched: list[str],
) -> None:
    follower = begin(variant=variant).follower
    assert follower is not None
    current, following = publish_bundle(broker, bundle), publish_bundle(broker, other_bundle)
    names: list[str] = []
    assert follower.apply(pointer(current, None, following), lambda one: names.append(one.manifest.name), never)
    assert names == switched
    broker.retained.clear()
    assert begin(variant=variant).bundle.manifest.name == "tiny", "remembered"


def test_what_ran_last_is_of_use_only_with_the_variants_own_model(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path
) -> None:
    broker.publish(NAMES.bundle(), pointer(publish_bundle(broker, bundle)).encode())
    begin(variant=1)
    broker.retained.clear()
    assert begin(variant=2).bundle.manifest.name == "other"
    assert begin(variant=1).bundle.manifest.name == "tiny"


def test_if_nothing_ran_auto_uses_the_fallback_and_broker_waits(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, other_bundle: Path, bundle: Path
) -> None:
    found = begin()
    assert found.bundle.folder == other_bundle
    assert found.follower is not None
    with pytest.raises(Interrupted):
        begin(BROKER, pause=stop_after(100))

    def push_late(_: float) -> bool:
        if NAMES.bundle() not in broker.retained:
            ref = publish_bundle(broker, bundle)
            broker.publish(NAMES.bundle(), pointer(ref).encode())
        return False

    assert begin(BROKER, pause=push_late).bundle.manifest.name == "tiny"
    assert broker.running == []


def test_the_retained_pointer_is_waited_for_before_the_fallback(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initial, "_RETAINED_WITHIN_S", 60)
    waits: list[float] = []

    def late(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 3:
            broker.publish(NAMES.bundle(), pointer(publish_bundle(broker, bundle)).encode())
        return False

    assert begin(pause=late).bundle.manifest.name == "tiny"
    assert waits[:3] == [0.05] * 3


def test_a_pointer_that_floods_is_left_at_the_broker(begin: Callable[..., InitialBundle], broker: MemoryBroker) -> None:
    def flood(_seconds: float) -> bool:
        (session,) = broker.running
        for _ in range(100):
            broker.publish(NAMES.bundle(), b"{}", retain=False)
        assert NAMES.bundle() not in session._filters
        return True

    with pytest.raises(Interrupted):
        begin(pause=flood)


def test_a_broker_that_is_not_there_is_waited_for(begin: Callable[..., InitialBundle], broker: MemoryBroker) -> None:
    broker.is_reachable = False
    with pytest.raises(Interrupted):
        begin(pause=stop_after(100))


def test_a_pointer_to_what_the_broker_does_not_have_falls_back_at_once(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initial, "_RETAINED_WITHIN_S", 60)
    broker.publish(NAMES.bundle(), pointer(ref_of(bundle)).encode())
    assert begin().bundle.manifest.name == "other"


@pytest.mark.parametrize("payload", [b"\xff", b"{}", pointer().encode()])
def test_a_pointer_that_is_invalid_or_names_nothing_is_no_pointer(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    broker.publish(NAMES.bundle(), payload)
    assert begin().bundle.manifest.name == "other"
    is_invalid = payload != pointer().encode()
    reasons = {b"\xff": "message: not valid JSON", b"{}": "pushed: is missing"}
    lines = [f"the site's bundle pointer is not valid: {reasons[payload]}"] if is_invalid else []
    assert caplog.messages[: len(lines)] == lines
    assert len(lines) == sum("is not valid" in message for message in caplog.messages)


def test_a_fusion_node_also_gets_every_bundle_that_is_here_whose_votes_may_arrive(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    current, following = publish_bundle(broker, bundle), publish_bundle(broker, other_bundle)
    gone = current.model_copy(update={"digest": "ab" * 32})
    broker.publish(NAMES.bundle(), pointer(current, gone, following).encode())
    found = begin(variant=None, fallback=other_bundle)
    assert found.bundle.manifest.name == "tiny"
    assert [one.manifest.name for one in found.others] == ["other", "tiny"], "fallback, current"
    assert [one.folder == other_bundle for one in found.others] == [True, False]
    assert found.follower is not None
    found.follower.apply(pointer(current, gone, following), lambda _: None, never)
    found = begin(BROKER, variant=None)
    assert [one.manifest.name for one in found.others] == ["other", "tiny"], "next, current; no fallback"
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_a_fusion_node_without_a_pointer_has_the_fallback_alone(
    begin: Callable[..., InitialBundle], broker: MemoryBroker
) -> None:
    del broker
    found = begin(variant=None)
    assert [one.manifest.name for one in (found.bundle, *found.others)] == ["other", "other"]


def test_refusals_and_missing_files_are_passed_on(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, tmp_path: Path, bundle: Path
) -> None:
    with pytest.raises(UserError, match="no bundle at"):
        begin(fallback=tmp_path / "missing")
    with pytest.raises(UserError, match=r"--bundle-key .*missing: No such file"):
        begin(key_file=tmp_path / "missing")
    broker.publish(NAMES.bundle(), pointer(publish_bundle(broker, bundle)).encode())
    assert begin(key_file=generate(tmp_path / "key")).bundle.manifest.name == "other", "not signed"
    broker.failure = UserError("refused")
    with pytest.raises(UserError, match="refused"):
        begin()


def test_an_empty_pointer_is_ignored(begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path) -> None:
    ref = publish_bundle(broker, bundle)
    waits: list[float] = []

    def cleared_then_pushed(seconds: float) -> bool:
        waits.append(seconds)
        payload = b"" if len(waits) == 1 else BundlePointer(current=ref, pushed=1.0).encode()
        broker.publish(NAMES.bundle(), payload)
        return False

    assert begin(BROKER, pause=cleared_then_pushed).bundle.manifest.name == "tiny"


class Loading:
    """What a node loaded, and what it cannot load."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.loaded: list[tuple[str, bool]] = []

    def __call__(self, bundle: Bundle, is_proven: bool) -> None:  # noqa: FBT001
        self.loaded.append((bundle.manifest.name, is_proven))
        if bundle.manifest.name in self.broken:
            raise UserError("5 values for 4 classes")


def test_a_bundle_that_cannot_be_loaded_is_neither_run_nor_remembered(
    begin: Callable[..., InitialBundle],
    broker: MemoryBroker,
    bundle: Path,
    other_bundle: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = publish_bundle(broker, bundle), publish_bundle(broker, other_bundle)
    broker.publish(NAMES.bundle(), pointer(good).encode())
    first = Loading()
    begin(use=first)
    assert first.loaded == [("tiny", False)]
    broker.publish(NAMES.bundle(), pointer(bad, good).encode())
    for _ in range(2):
        again = Loading("other")
        assert begin(use=again).bundle.manifest.name == "tiny"
    assert again.loaded == [("tiny", True)], "it has run: no trial; the bad one is left to the follower"
    assert not any("cannot be used" in message for message in caplog.messages)


def test_a_new_board_tries_the_previous_bundle_and_the_fallback(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    good, bad = publish_bundle(broker, bundle), publish_bundle(broker, other_bundle)
    broker.publish(NAMES.bundle(), pointer(bad, good).encode())
    loading = Loading("other")
    assert begin(use=loading, fallback=bundle).bundle.manifest.name == "tiny"
    assert loading.loaded == [("other", False), ("tiny", False)]
    assert not cache(tmp_path).has_run(bad.digest, 1)
    broker.publish(NAMES.bundle(), pointer(bad).encode())
    loading = Loading("other")
    assert begin(use=loading, fallback=bundle, variant=3).bundle.folder == bundle
    assert loading.loaded == [("other", False), ("tiny", True)]


def test_what_has_run_is_used_at_once_while_the_new_bundle_is_still_to_be_fetched(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path, other_bundle: Path
) -> None:
    broker.publish(NAMES.bundle(), pointer(publish_bundle(broker, bundle)).encode())
    begin()
    broker.publish(NAMES.bundle(), pointer(publish_bundle(broker, other_bundle)).encode())
    found = begin()
    assert found.bundle.manifest.name == "tiny"
    assert broker.sessions[-1] == "vp-home-pi-bundle", "nothing is fetched first"


def test_a_push_while_a_new_board_fetches_is_taken(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, bundle: Path, other_bundle: Path
) -> None:
    broker.publish(NAMES.bundle(), pointer(ref_of(other_bundle)).encode())
    ref = publish_bundle(broker, bundle)

    def push_meanwhile(_: float) -> bool:
        broker.publish(NAMES.bundle(), pointer(ref).encode())
        return False

    assert begin(BROKER, pause=push_meanwhile).bundle.manifest.name == "tiny"


@pytest.mark.timeout(20)
def test_the_same_pointer_again_is_no_reason_to_go_on_without_a_pause(
    begin: Callable[..., InitialBundle], broker: MemoryBroker, other_bundle: Path
) -> None:
    named = pointer(ref_of(other_bundle)).encode()
    broker.publish(NAMES.bundle(), named)
    waits: list[float] = []

    def name_again(seconds: float) -> bool:
        if not waits:
            broker.publish(NAMES.bundle(), named)
        waits.append(seconds)
        return len(broker.sessions) > 1 and len(broker.running) == 1

    with pytest.raises(Interrupted):
        begin(BROKER, pause=name_again)


@pytest.mark.parametrize("variant", [1, None])
def test_a_push_of_the_bundle_that_runs_without_the_right_signature_ends_no_node_and_is_not_remembered(
    *,
    begin: Callable[..., InitialBundle],
    broker: MemoryBroker,
    bundle: Path,
    tmp_path: Path,
    variant: int | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key, unsigned = generate(tmp_path / "key"), publish_bundle(broker, bundle)
    signed, others = (pack(open_bundle(bundle), path.with_suffix("")).ref for path in (key, generate(tmp_path / "new")))
    broker.publish(NAMES.bundle(), pointer(signed).encode())
    begin(BROKER, variant=variant, key_file=key)
    for pushed in (unsigned, others, *(numbered(ref, None, SITE, tmp_path / "new") for ref in (signed, others))):
        broker.publish(NAMES.bundle(), pointer(pushed).encode())
        for _ in range(2):
            assert begin(BROKER, variant=variant, key_file=key).bundle.manifest.name == "tiny"
    assert all(line.startswith("the bundle 'tiny'") for line in caplog.messages), caplog.messages
