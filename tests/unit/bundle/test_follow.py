"""From bundle to bundle: what is fetched, what is switched to, and when it is tried again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.memory_broker import MemoryBroker
from tests.unit.bundle.helpers import NAMES, SITE, pointer, publish_bundle
from tests.unit.bundle.test_fetch import never
from vp_mqtt import files
from vp_mqtt.bundle import fetch, follow
from vp_mqtt.bundle.cache import Cache
from vp_mqtt.bundle.fetch import Fetcher
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.follow import Follower, Interrupted
from vp_mqtt.bundle.signing import Verifier
from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MessageError


class Site:
    """A node's follower, and what it did.

    Attributes:
        fetched: names of the bundles that were fetched, in order.
        switched: names of the bundles that were switched to, in order.
        missing: names of the bundles that cannot be fetched.
        unusable: names of the bundles that cannot be switched to.
        old: names of the bundles that a newer switch was signed after.
        newest: name of the bundle whose switch is the newest.
        problems: what was reported.
    """

    def __init__(self, tmp_path: Path, variant: int | None) -> None:
        self.cache = Cache(tmp_path / "cache", SITE, Verifier(None))
        self.fetched: list[str] = []
        self.switched: list[str] = []
        self.missing: set[str] = set()
        self.unusable: set[str] = set()
        self.old: set[str] = set()
        self.newest = ""
        self.problems: list[str | None] = []
        self.on_progress: object = None
        self.stopping = threading.Event()
        self.variant = variant
        self.follower = Follower(self, self.cache, variant)  # type: ignore[arg-type]

    def try_fetch(self, ref: BundleRef, pause: Callable[[float], bool]) -> Bundle | None:
        if pause(0.01):
            raise Interrupted
        self.fetched.append(ref.name)
        bundle = Bundle(Path(ref.name), open_bundle("fashion-mnist").manifest)
        return None if ref.name in self.missing else bundle

    def why_not_followed(self, ref: BundleRef) -> str | None:
        return "a newer switch was signed" if ref.name in self.old else None

    def note_newest(self, ref: BundleRef) -> None:
        self.newest = ref.name

    def switch(self, bundle: Bundle) -> None:
        if bundle.folder.name in self.unusable:
            raise UserError("it has no variant 7")
        self.switched.append(bundle.folder.name)

    def apply(self, applied: BundlePointer) -> bool:
        self.fetched.clear()
        self.switched.clear()
        return self.follower.apply(applied, self.switch, never)

    def remembered(self, tmp_path: Path) -> BundlePointer | None:
        path = tmp_path / "cache" / SITE / "current.json"
        return BundlePointer.decode(path.read_bytes()) if path.exists() else None


CURRENT, PREVIOUS, NEXT = (
    BundleRef(name=name, digest=digit * 64) for name, digit in (("current", "a"), ("previous", "b"), ("next", "c"))
)
ALL = pointer(CURRENT, PREVIOUS, NEXT)


@pytest.fixture
def variant(tmp_path: Path) -> Site:
    return Site(tmp_path, 7)


@pytest.fixture
def fusion(tmp_path: Path) -> Site:
    return Site(tmp_path, None)


def test_a_variant_fetches_the_next_bundle_and_runs_the_current_one(variant: Site, tmp_path: Path) -> None:
    assert variant.apply(ALL)
    assert (variant.fetched, variant.switched) == (["next", "current"], ["current"])
    assert variant.remembered(tmp_path) == ALL


def test_a_fusion_node_uses_all_three_the_current_one_last(fusion: Site, tmp_path: Path) -> None:
    assert fusion.apply(ALL)
    assert (fusion.fetched, fusion.switched) == (["next", "previous", "current"],) * 2
    assert fusion.remembered(tmp_path) == ALL


@pytest.mark.parametrize(
    ("missing", "is_done", "is_remembered"),
    [("next", False, True), ("previous", True, True), ("current", False, False)],
)
def test_only_the_previous_bundle_can_be_done_without(
    fusion: Site, tmp_path: Path, missing: str, *, is_done: bool, is_remembered: bool
) -> None:
    fusion.missing = {missing}
    assert fusion.apply(ALL) == is_done
    assert fusion.switched == [name for name in ("next", "previous", "current") if name != missing]
    assert (fusion.remembered(tmp_path) is not None) == is_remembered


@pytest.mark.parametrize(("missing", "is_done"), [("next", False), ("previous", True), ("current", False)])
def test_a_variant_tries_again_what_it_will_run(variant: Site, missing: str, *, is_done: bool) -> None:
    variant.missing = {missing}
    assert variant.apply(ALL) == is_done
    assert variant.switched == ([] if missing == "current" else ["current"])


def test_a_bundle_that_is_both_current_and_previous_counts_as_current(variant: Site, fusion: Site) -> None:
    for node in (variant, fusion):
        assert node.apply(pointer(CURRENT, CURRENT))
        assert set(node.switched) == {"current"}
        node.missing = {"current"}
        assert not node.apply(pointer(CURRENT, CURRENT))


def test_an_empty_pointer_changes_nothing(variant: Site, tmp_path: Path) -> None:
    assert variant.apply(pointer())
    assert (variant.fetched, variant.switched, variant.remembered(tmp_path)) == ([], [], None)
    assert variant.apply(pointer(following=NEXT))
    assert (variant.fetched, variant.switched, variant.remembered(tmp_path)) == (["next"], [], None)


def test_a_bundle_that_cannot_be_used_is_logged_and_not_tried_again(
    variant: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    variant.unusable = {"current"}
    assert variant.apply(ALL)
    assert caplog.messages == ["the bundle 'current' (aaaaaaaa) cannot be used: it has no variant 7"]
    assert variant.remembered(tmp_path) is None


def test_a_cache_that_cannot_be_written_is_logged(
    tmp_path: Path, variant: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_TEMPORARY", [])
    (tmp_path / "cache").write_bytes(b"")
    assert variant.apply(ALL)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    path = tmp_path / "cache" / SITE / "current.json"
    assert caplog.messages == [f"{path} cannot be written (Not a directory): continuing without a cache that lasts"]
    assert variant.switched == ["current"]


def test_an_invalid_pointer_is_an_error_and_an_empty_one_is_none(variant: Site) -> None:
    variant.follower.offer(b"")
    with pytest.raises(MessageError):
        variant.follower.offer(b"{}")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_pointers_are_followed_in_the_background_until_the_node_stops(variant: Site) -> None:
    variant.follower.offer(pointer(CURRENT).encode())
    variant.follower.follow(variant.switch, variant.stopping)
    until(lambda: variant.switched == ["current"])
    variant.follower.offer(pointer(CURRENT).encode())
    variant.follower.offer(pointer(NEXT, CURRENT).encode())
    until(lambda: variant.switched == ["current", "next"])
    assert variant.fetched == ["current", "next"], "the same pointer again is done already"
    variant.stopping.set()
    variant.follower.offer(ALL.encode())
    until(lambda: not any(thread.name == "bundle" for thread in threading.enumerate()))
    assert variant.switched == ["current", "next"]


def test_what_failed_is_tried_again_later_and_a_new_pointer_at_once(
    variant: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_RETRY_S", (0.01, 0.02))
    variant.missing = {"current"}
    variant.follower.follow(variant.switch, variant.stopping)
    variant.follower.offer(pointer(CURRENT).encode())
    until(lambda: variant.fetched[:4] == ["current"] * 4)
    assert variant.switched == []
    variant.missing = set()
    until(lambda: variant.switched == ["current"])
    monkeypatch.setattr(follow, "_RETRY_S", (1000.0, 1000.0))
    variant.missing = {"next"}
    variant.follower.offer(pointer(NEXT).encode())
    until(lambda: variant.fetched[-1] == "next")
    variant.follower.offer(pointer(PREVIOUS).encode())
    until(lambda: variant.switched == ["current", "previous"])
    variant.stopping.set()


def test_the_real_fetcher_brings_the_next_bundle_to_the_disk(
    broker: MemoryBroker, bundle: Path, other_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "STALL_S", 0.5)
    cache = Cache(tmp_path / "cache", SITE, Verifier(None))
    fetcher = Fetcher(BrokerOptions(), site=SITE, client_id="me", variant=1, cache=cache, verifier=Verifier(None))
    follower = Follower(fetcher, cache, 1)
    switched: list[str] = []
    current, following = publish_bundle(broker, bundle), publish_bundle(broker, other_bundle)
    broker.publish(NAMES.bundle(), b"")
    assert follower.apply(pointer(current, None, following), lambda one: switched.append(one.manifest.name), never)
    assert switched == ["tiny"]
    assert cache.find(following, 1) is not None
    assert follower.apply(pointer(following, current), lambda one: switched.append(one.manifest.name), never)
    assert switched == ["tiny", "other"]
    assert len(broker.sessions) == 2, "the second was fetched before"


def test_waits_double_up_to_a_minute_and_begin_anew_after_a_success(
    variant: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[BundlePointer | None, float]] = []
    failing, working = pointer(CURRENT, pushed=1.0), pointer(NEXT, pushed=2.0)
    # What the node hears of each time that it waits.
    newest = [None, *[failing] * 14, working, working, working, failing, failing, failing]

    def await_other(known: BundlePointer | None, timeout_s: float) -> BundlePointer | None:
        asked.append((known, timeout_s))
        if len(asked) == len(newest):
            variant.stopping.set()
        return newest[len(asked) - 1]

    monkeypatch.setattr(variant.follower, "_await_other", await_other)
    variant.missing = {"current"}
    variant.follower._run(variant.switch, variant.stopping)
    tried = [timeout_s for known, timeout_s in asked if known == failing]
    assert tried == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 2.0]
    assert asked[:3] == [(None, 1.0), (None, 1.0), (failing, 2.0)]
    assert [known for known, timeout_s in asked if timeout_s == 1.0][-5:] == [None, *[working] * 4]
    assert variant.switched == ["next"]
    assert variant.fetched == ["current"] * 7 + ["next"] + ["current"]


def test_being_told_to_stop_while_it_fetches_ends_the_follower(variant: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bool:
        raise Interrupted

    monkeypatch.setattr(variant.follower, "apply", interrupted)
    variant.follower.offer(ALL.encode())
    variant.follower._run(variant.switch, variant.stopping)
    assert not variant.stopping.is_set()


def test_another_pointer_ends_a_wait_at_once_and_the_same_one_does_not(variant: Site) -> None:
    assert variant.follower._await_other(None, 0.01) is None
    variant.follower.offer(ALL.encode())
    assert variant.follower._await_other(None, 60.0) == ALL
    assert variant.follower._await_other(pointer(CURRENT), 60.0) == ALL
    assert variant.follower._await_other(ALL, 0.01) == ALL


def test_whatever_a_bundle_brings_about_the_next_one_is_taken(
    variant: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follow, "_RETRY_S", (1000.0, 1000.0))

    def switch(bundle: Bundle) -> None:
        if bundle.folder.name == "current":
            raise MemoryError
        variant.switch(bundle)

    variant.follower.follow(switch, variant.stopping, variant.problems.append)
    variant.follower.offer(pointer(CURRENT).encode())
    until(lambda: bool(variant.problems))
    assert variant.problems == ["following the site's bundle failed (MemoryError); see the log"]
    assert "following the site's bundle failed" in caplog.text
    variant.follower.offer(pointer(NEXT).encode())
    until(lambda: variant.switched == ["next"])
    until(lambda: variant.problems[1:] == [None])
    variant.stopping.set()
    assert variant.follower.refused == 1


def test_a_push_during_a_fetch_ends_it(variant: Site) -> None:
    variant.follower._newest = pointer(NEXT)
    with pytest.raises(fetch.Superseded):
        variant.apply(pointer(CURRENT))
    variant.follower._newest = pointer(CURRENT, pushed=7.0)
    assert variant.apply(pointer(CURRENT)), "the same bundles"


def test_what_is_wrong_with_the_sites_bundle_is_reported(variant: Site) -> None:
    variant.follower._report_to = variant.problems.append
    variant.missing = {"current"}
    variant.apply(pointer(CURRENT))
    variant.missing, variant.unusable = set(), {"current"}
    variant.apply(pointer(CURRENT))
    variant.unusable = set()
    variant.apply(pointer(CURRENT))
    assert variant.problems == [
        "the site's bundle 'current' (aaaaaaaa) is not accepted; see the log",
        "the site's bundle 'current' (aaaaaaaa) cannot be used: it has no variant 7",
        None,
    ]


def test_an_older_switch_is_not_followed(variant: Site, tmp_path: Path) -> None:
    variant.follower._report_to = variant.problems.append
    variant.old = {"current"}
    assert variant.apply(pointer(CURRENT, PREVIOUS, NEXT))
    assert (variant.switched, variant.remembered(tmp_path)) == ([], None)
    assert variant.problems == ["the site's bundle 'current' (aaaaaaaa) is not accepted: a newer switch was signed"]
    assert variant.apply(pointer(NEXT))
    assert (variant.switched, variant.newest) == (["next"], "next")
