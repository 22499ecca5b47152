"""Bundles over the air, on a real Mosquitto, with a kill at every step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.site import SITE, Site
from tests.support.tiny import write_bundle
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.mqtt.message import Received
from vp_mqtt.protocol.bundle_pointer import BundlePointer
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Kind, Topics

NAMES = Topics(SITE)
BOARDS = range(3)
_ERROR = 2


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pushed")
    return {name: write_bundle(folder / name, name) for name in ("one", "two", "three")}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VP_BUNDLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Pushing(Site):
    def push(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            self.push_command(*arguments),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "VP_BROKER": self.url, "VP_SITE": SITE},
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code == _ERROR else done.stdout

    @staticmethod
    def push_command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "vp_mqtt", "push", "--taken-within", "20", *arguments]

    def retained(self) -> dict[str, bytes]:
        """Return what a client that comes now gets of bundles."""
        names = ("bundle/current", "bundle/+/manifest/+", "bundle/+/model/+/+")
        command = ["mosquitto_sub", "-p", self.url.rpartition(":")[2], "-W", "1", "-F", "%t %x"]
        for name in names:
            command += ["-t", f"vp/{SITE}/{name}"]
        lines = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.splitlines()
        return {topic: bytes.fromhex(data) for topic, _, data in (line.partition(" ") for line in lines) if data}

    def pointer(self) -> BundlePointer:
        return BundlePointer.decode(self.retained()[NAMES.bundle()])

    def start_boards(self, *arguments: str) -> None:
        self.start("fusion", "fusion", "--deadline-ms", "3000", *arguments)
        for variant in BOARDS:
            self.start(f"v{variant}", "node", "--variant", str(variant), *arguments)
        self.await_online("fusion", *(f"v{variant}" for variant in BOARDS), timeout=40)

    def await_bundle(self, name: str, *nodes: str) -> None:
        def bundle_of(node: str) -> str | None:
            statuses = [m for m in self.probe.of(Kind.STATUS) if m.topic == NAMES.status(node) and m.payload]
            return json.loads(statuses[-1].payload).get("bundle") if statuses else None

        self.probe.until(lambda: all(bundle_of(node) == name for node in nodes), f"{nodes} run {name}", 40)

    def label(self, sequence: int) -> str:
        """Return the bundle that a frame's label was made with; every board must have had a good vote to give."""
        self.probe.publish_frame(FrameId(7, sequence), "blue")
        label = self.probe.label_of(FrameId(7, sequence), 20)
        assert label.label == "blue"
        return label.bundle


@pytest.fixture
def site(broker: Mosquitto, bundles: dict[str, Path], cache: Path, tmp_path: Path) -> Iterator[Pushing]:
    del cache
    with Pushing(broker.url, broker.port, bundles["one"], tmp_path) as running:
        yield running


def digest(bundle: Path) -> str:
    return open_bundle(bundle).manifest.digest.hex()


ALL = ("fusion", "v0", "v1", "v2")


def test_a_board_with_nothing_but_an_index_fetches_its_own_model_only(
    site: Pushing, bundles: dict[str, Path], cache: Path
) -> None:
    site.start("v2", "node", "--variant", "2", "--bundle", "broker")
    site.await_log("v2", "looking for the site's bundle")
    done = json.loads(site.push(str(bundles["one"]), "--json", "--chunk-bytes", "100"))
    assert done["digest"] == digest(bundles["one"])
    assert done["chunks"] > 20
    site.await_online("v2", timeout=40)
    kept = {path.name for path in (cache / SITE / done["digest"]).iterdir()}
    assert kept == {"manifest.json", "variant-2.onnx"}


def test_a_running_site_switches_and_goes_back_without_losing_a_label(
    site: Pushing, bundles: dict[str, Path], picture_folder: Path
) -> None:
    site.push(str(bundles["one"]))
    site.start_boards()
    site.await_bundle("one", *ALL)
    site.start("camera", "camera", "--source", str(picture_folder), "--fps", "10", "--in-flight", "50")
    site.probe.until(lambda: len(site.probe.labels()) >= 5, "labels", 20)
    site.push(str(bundles["two"]))
    site.await_bundle("two", *ALL)
    site.probe.until(lambda: site.probe.labels()[-1].bundle == "two", "labels by two", 20)
    site.push("--rollback")
    site.await_bundle("one", *ALL)
    before = len(site.probe.labels())
    site.probe.until(lambda: len(site.probe.labels()) >= before + 10, "labels after", 20)
    site.signal("camera", signal.SIGTERM)
    site.wait("camera", 5)
    site.probe.until(lambda: len(site.probe.labels()) == len(site.probe.announces()), "all labelled", 20)
    labels = site.probe.labels()
    assert [label.frame for label in labels] == [announce.frame for announce in site.probe.announces()]
    assert all(label.label == label.truth for label in labels)
    names = [label.bundle for label in labels]
    assert names[0] == "one"
    assert "two" in names
    assert names[-1] == "one"


def test_only_the_current_bundle_and_the_one_before_stay(site: Pushing, bundles: dict[str, Path]) -> None:
    for name in ("one", "two", "three"):
        site.push(str(bundles[name]))
    kept = {topic.split("/")[3] for topic in site.retained()}
    assert kept == {"current", digest(bundles["two"]), digest(bundles["three"])}
    pointer = site.pointer()
    assert pointer.current is not None
    assert pointer.previous is not None
    assert (pointer.current.name, pointer.previous.name, pointer.next) == ("three", "two", None)
    site.push("--rollback")
    assert site.pointer().current == pointer.previous


def test_a_push_says_which_boards_took_the_bundle_and_which_are_pinned(site: Pushing, bundles: dict[str, Path]) -> None:
    pinned, two = ("--bundle", str(bundles["one"])), str(bundles["two"])
    assert "no board is online: boards fetch it when they start" in site.push(two)
    site.start("fusion", "fusion", *pinned)
    site.start("v0", "node", "--variant", "0", *pinned)
    site.await_online("fusion", "v0", timeout=40)
    command = site.push_command(two, "--broker", site.url, "--site", SITE)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("the bundle of site 'test' is now 'two'")
    assert "0 of 0 boards that follow the site run it now" in lines
    assert "pinned to 'one' with --bundle: v0; start without --bundle to follow" in lines
    assert "the fusion node fusion is pinned to 'one' with --bundle: it ignores votes of 'two'" in lines
    site.start("v1", "node", "--variant", "1")
    site.await_bundle("two", "v1")
    # A board took it, but nothing counts its votes.
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["boards"] == {
        "taken": ["v1"],
        "waiting": [],
        "silent": [],
        "pinned": {"v0": "one"},
        "fusion_pinned": {"fusion": "one"},
        "reasons": {},
    }


def test_nothing_to_go_back_to_and_nothing_to_push_are_refused_in_one_line(
    site: Pushing, bundles: dict[str, Path]
) -> None:
    assert "no bundle was pushed to it yet" in site.push("--rollback", code=2)
    assert "name a bundle" in site.push(code=2)
    assert "do not name one" in site.push(str(bundles["one"]), "--rollback", code=2)


def kill_push_when(site: Pushing, seen: Callable[[Received], bool], *arguments: str) -> None:
    """Kill `vp push` (SIGKILL) as soon as the broker passes on a message that is seen."""
    old = len(site.probe.received)
    process = subprocess.Popen(
        site.push_command(*arguments),
        env={**os.environ, "VP_BROKER": site.url, "VP_SITE": SITE},
        stderr=subprocess.DEVNULL,
    )
    try:
        site.probe.until(lambda: any(seen(m) for m in site.probe.received[old:]), "the step to kill at", 40)
    finally:
        process.kill()
        process.wait()


def test_a_pusher_killed_at_any_step_leaves_the_old_bundle_or_the_new_one(
    site: Pushing, bundles: dict[str, Path]
) -> None:
    site.push(str(bundles["one"]), "--chunk-bytes", "400")
    site.start_boards()
    site.await_bundle("one", *ALL)
    two = digest(bundles["two"])
    # Far enough from the end that it is killed before it comes there.
    chunks = [NAMES.manifest(two, 1), NAMES.model(two, 0, 0), NAMES.model(two, 3, 0)]
    for sequence, chunk in enumerate(chunks):
        kill_push_when(site, lambda m, c=chunk: m.topic == c, str(bundles["two"]), "--chunk-bytes", "400")  # type: ignore[misc]
        assert site.label(sequence) == "one"
        pointer = site.pointer()
        assert pointer.current is not None
        assert pointer.current.name == "one"

    def is_pointer_to_next(message: Received) -> bool:
        return message.topic == NAMES.bundle() and BundlePointer.decode(message.payload).next is not None

    kill_push_when(site, is_pointer_to_next, str(bundles["two"]), "--chunk-bytes", "400")
    assert site.label(10) in {"one", "two"}
    # The next push completes whatever is there.
    site.push(str(bundles["two"]), "--chunk-bytes", "300")
    site.await_bundle("two", *ALL)
    assert site.label(11) == "two"

    def is_switch_to_three(message: Received) -> bool:
        if message.topic != NAMES.bundle():
            return False
        current = BundlePointer.decode(message.payload).current
        return current is not None and current.name == "three"

    kill_push_when(site, is_switch_to_three, str(bundles["three"]))
    site.await_bundle("three", *ALL)
    assert site.label(12) == "three"


@pytest.mark.parametrize("victim", ["fusion", "v1"])
def test_a_node_killed_at_any_moment_of_an_update_comes_back_with_a_whole_bundle(
    site: Pushing, bundles: dict[str, Path], cache: Path, victim: str
) -> None:
    site.push(str(bundles["one"]))
    site.start_boards()
    site.await_bundle("one", *ALL)
    names = ["two", "three", "one"]
    for step, name in enumerate(names):
        pushing = threading.Thread(target=site.push, args=(str(bundles[name]), "--ready-within", "2"))
        old = len(site.probe.received)
        pushing.start()
        # At the first chunk, at the pointer to prepare, at the pointer to switch.
        wanted: list[Callable[[Received], bool]] = [
            lambda m: "/manifest/" in m.topic,
            lambda m: m.topic == NAMES.bundle(),
            lambda m: m.topic == NAMES.bundle() and BundlePointer.decode(m.payload).next is None,
        ]
        site.probe.until(lambda: any(wanted[step](m) for m in site.probe.received[old:]), "the moment", 40)  # noqa: B023
        site.kill(victim)
        pushing.join(60)
        arguments = ("fusion", "--deadline-ms", "3000") if victim == "fusion" else ("node", "--variant", "1")
        site.start(victim, *arguments)
        site.await_online(victim, timeout=40)
        site.await_bundle(name, *ALL)
        assert site.label(step) == name
    kept = {path.name for path in (cache / SITE).iterdir() if path.is_dir()}
    assert kept == {digest(bundles["one"]), digest(bundles["three"])}


def test_a_site_that_trusts_one_key_accepts_nothing_else(
    site: Pushing, bundles: dict[str, Path], tmp_path: Path
) -> None:
    keys = [tmp_path / name for name in ("mine", "other")]
    for key in keys:
        subprocess.run([sys.executable, "-m", "vp_mqtt", "keygen", str(key)], check=True, timeout=30)
        assert key.stat().st_mode & 0o777 == 0o600
    site.push(str(bundles["one"]), "--sign", str(keys[0]))
    trusted = ("--bundle-key", f"{keys[0]}.pub")
    site.start_boards(*trusted)
    site.await_bundle("one", *ALL)
    none = ("--ready-within", "0", "--taken-within", "5")
    said = site.push(str(bundles["two"]), *none, code=1)
    assert "not running it yet: v0, v1, v2: the site's bundle 'two'" in said
    assert (
        "is not accepted: it is not signed; sign it with the key that is trusted here (--bundle-key): vp push" in said
    )
    site.await_log("v0", "is not accepted: it is not signed", 20)
    patient = ("--ready-within", "0", "--taken-within", "50")
    started = time.monotonic()
    said = site.push(str(bundles["three"]), *patient, "--sign", str(keys[1]), code=1)
    assert time.monotonic() - started < 45, "boards that refuse it are not waited for"
    assert "not accepted: its signature is not by the key that is trusted here (--bundle-key)" in said
    for name in ALL:
        site.await_log(name, "is not accepted: its signature is not by the key that is trusted here", 20)
    assert site.label(0) == "one"
    site.push(str(bundles["three"]), "--sign", str(keys[0]))
    site.await_bundle("three", *ALL)
    assert site.label(1) == "three"


def test_a_model_that_is_not_the_manifests_is_refused(site: Pushing, bundles: dict[str, Path]) -> None:
    site.push(str(bundles["one"]))
    one = digest(bundles["one"])
    chunk = site.retained()[NAMES.model(one, 1, 0)]
    site.probe.client.publish(NAMES.model(one, 1, 0), chunk[:-1] + bytes([chunk[-1] ^ 1]), 1, retain=True)
    site.start("v1", "node", "--variant", "1", "--bundle", "broker")
    site.await_log("v1", "has another digest than the manifest says", 20)
    site.push(str(bundles["one"]))
    site.await_online("v1", timeout=40)


def test_nothing_is_switched_to_a_bundle_that_the_broker_has_not_kept_whole(
    site: Pushing, bundles: dict[str, Path]
) -> None:
    site.push(str(bundles["one"]))
    site.push(str(bundles["two"]))
    one = digest(bundles["one"])
    chunk = site.retained()[NAMES.model(one, 1, 0)]
    site.probe.client.publish(NAMES.model(one, 1, 0), chunk[:-1] + bytes([chunk[-1] ^ 1]), 1, retain=True)
    assert "has not kept the bundle 'one' whole" in site.push("--rollback", code=2)
    current = site.pointer().current
    assert current is not None
    assert current.name == "two"


def test_garbage_for_a_pointer_changes_nothing(site: Pushing, bundles: dict[str, Path]) -> None:
    site.push(str(bundles["one"]))
    site.start_boards()
    site.await_bundle("one", *ALL)
    lies = [
        b"\xff",
        b"{}",
        b'{"current": {"name": "../../x", "digest": "00", "signature": null}, "pushed": 0}',
        b'{"current": {"name": "x", "digest": "' + b"/" * 64 + b'"}, "pushed": 0}',
        b"[" * 60_000,
    ]
    for lie in lies:
        site.probe.client.publish(NAMES.bundle(), lie, 1, retain=True)
    site.probe.until(lambda: site.probe.stats("v0").get("refused", 0) >= 4, "refused", 20)
    assert site.label(0) == "one"


def test_what_was_pushed_outlives_a_broker_that_keeps_its_data(
    bundles: dict[str, Path], cache: Path, tmp_path: Path
) -> None:
    del cache
    with Mosquitto() as broker:
        broker.folder.chmod(0o777)
        broker.stop()
        broker.extra = f"persistence true\npersistence_location {broker.folder}/"
        broker.start()
        with Pushing(broker.url, broker.port, bundles["one"], tmp_path) as site:
            site.push(str(bundles["one"]))
            broker.stop()
            broker.start()
            site.start("v0", "node", "--variant", "0", "--bundle", "broker")
            site.await_online("v0", timeout=40)


def test_a_board_continues_with_what_it_has_when_the_broker_lost_everything(
    site: Pushing, broker: Mosquitto, bundles: dict[str, Path]
) -> None:
    site.push(str(bundles["one"]))
    site.start("v0", "node", "--variant", "0")
    site.await_bundle("one", "v0")
    site.kill("v0")
    broker.kill()
    broker.start()
    site.start("v0", "node", "--variant", "0")
    site.await_log("v0", "variant 0 of 'one'", 40, times=2)


def test_chunks_fit_the_brokers_packet_limit(bundles: dict[str, Path], cache: Path, tmp_path: Path) -> None:
    del cache
    with (
        Mosquitto("max_packet_size 2000") as broker,
        Pushing(broker.url, broker.port, bundles["one"], tmp_path) as site,
    ):
        done = json.loads(site.push(str(bundles["one"]), "--json"))
        assert done["chunk_bytes"] < 2000
        site.start("v0", "node", "--variant", "0", "--bundle", "broker")
        site.await_online("v0", timeout=40)
