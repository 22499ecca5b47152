"""`vp demo`, and the built-in bundles."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.broker import Mosquitto
from tests.support.site import Probe, write_pictures
from tests.support.tiny import write_bundle
from vp_mqtt.bundle.folder import builtin_bundles, open_bundle
from vp_mqtt.demo.listener import CAMERA, SITE, Listener
from vp_mqtt.demo.record import Record
from vp_mqtt.nodes.sources import SAMPLES
from vp_mqtt.protocol import votes
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import AnnounceMessage
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.protocol.votes import Vote

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "vp_mqtt", "demo"]


def demo(*arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VP_SITE": "of-the-user", "VP_FPS": "0"}
    printed = subprocess.run(
        [*COMMAND, "--json", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert printed.returncode == 0, printed.stderr
    summary: dict[str, Any] = json.loads(printed.stdout)
    return summary


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_the_demo_continues_when_variants_are_killed(bundle: Path, picture_folder: Path, broker: str) -> None:
    summary = demo(
        *("--frames", "40", "--fps", "10", "--kill", "0,3", "--broker", broker),
        # A machine that is busy with other things may be slow, but must not be wrong.
        *("--bundle", str(bundle), "--source", str(picture_folder), "--deadline-ms", "2000"),
    )
    assert (summary["frames"], summary["labels"], summary["lost"]) == (40, 40, 0)
    assert summary["accuracy"] == {"fused": 1.0, "variants": [1.0] * 6}
    assert summary["accuracy_before"]["fused"] == 1.0
    assert summary["accuracy_after"] == {"fused": 1.0, "variants": [None, 1.0, 1.0, None, 1.0, 1.0]}
    assert summary["killed"] == [0, 3]
    assert summary["variants"] == 6
    assert summary["vote_bytes"] == {"payload": 20, "packet": 62}
    assert summary["broker"]["name"] == {"mosquitto": "mosquitto", "embedded": "iotcore"}[broker]
    assert summary["broker"]["version"][0].isdigit()
    latency = summary["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]


def test_the_page_of_the_demo_is_there_until_it_is_interrupted(
    bundle: Path, picture_folder: Path, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [
            *COMMAND,
            "--json",
            "--web",
            "--listen",
            "127.0.0.1:0",
            "--bundle",
            str(bundle),
            "--source",
            str(picture_folder),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        try:
            said = running.stderr.readline()
            assert said.startswith("the page is at http://127.0.0.1:")
            with urllib.request.urlopen(said.split()[-1]) as page:
                assert b"Live" in page.read()
            # What is taught there is sent as any bundle is: every node takes it.
            (fusion,) = [one for one in psutil.Process(running.pid).children() if "fusion" in one.cmdline()]
            url = fusion.cmdline()[fusion.cmdline().index("--broker") + 1]
            push = [*COMMAND[:-1], "push", str(write_bundle(tmp_path / "taught", name="taught"))]
            push += ["--broker", url, "--site", SITE]
            pushed = subprocess.run(push, capture_output=True, text=True, check=False)
            assert pushed.returncode == 0, pushed.stderr
            assert "6 of 6 boards that follow the site run it now" in pushed.stdout
            running.send_signal(signal.SIGINT)
            printed, complaints = running.communicate(timeout=60)
        finally:
            running.kill()
    assert (running.returncode, complaints) == (0, "")
    assert json.loads(printed)["broker"]["name"] == "mosquitto"


def test_votes_of_another_bundle_and_invalid_messages_are_left_out(broker: Mosquitto) -> None:
    record = Record(("cat", "dog"), variants=2)
    listener = Listener(record, b"demo")
    topics, frame = Topics(SITE), FrameId(1, 1)
    probe = Probe(broker.port)
    try:
        with listener.connected(broker.url):
            announce = AnnounceMessage.of(Announce(frame, time.time()))

            def send_until_received() -> bool:
                probe.publish(topics.announce(CAMERA), announce.encode(), frame.encode())
                return listener.handle_message(timeout=1)

            assert any(send_until_received() for _ in range(30))
            for variant, vote in (
                # A bundle with more classes was pushed, and one with as many, but others.
                (0, Vote((2, 0), (0.6, 0.4), b"more")),
                (0, Vote((1, 0), (0.6, 0.4), b"pair")),
                # Of this bundle, and yet with too many classes.
                (1, Vote((2, 0), (0.6, 0.4), b"demo")),
            ):
                probe.publish(topics.vote(CAMERA, variant), votes.encode(vote), frame.encode())
            probe.publish(topics.label(CAMERA), b"no JSON")
            probe.publish(topics.vote(CAMERA, 1), votes.encode(Vote((0, 1), (0.6, 0.4), b"demo")), frame.encode())
            deadline = time.monotonic() + 30
            while not record.frames[frame].votes:
                assert time.monotonic() < deadline
                listener.handle_message(timeout=1)
    finally:
        probe.close()
    assert record.frames[frame].votes == {1: "cat"}


def test_the_demo_leaves_no_process_behind(bundle: Path, picture_folder: Path) -> None:
    demo("--frames", "5", "--bundle", str(bundle), "--source", str(picture_folder))
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if str(bundle) in (process.info["cmdline"] or [])
    ]
    assert left == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--kill", "6"], "variants 0 to 5"),
        (["--kill", "a"], "write the indices"),
        (["--bundle", "/nowhere"], "no bundle at"),
        (["--broker", "hivemq"], "write mosquitto, embedded or auto"),
        (["--source", "/nowhere", "--frames", "3"], "no such file"),
        (["--source", str(ROOT / "broker")], "no pictures in this folder"),
        (["--source", "77"], "no webcam with this number"),
    ],
)
def test_a_wrong_flag_gets_one_clear_line(arguments: list[str], says: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*COMMAND, "--bundle", "fashion-mnist", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_the_built_in_bundles_are_small_and_complete() -> None:
    names = builtin_bundles()
    assert {"caltech101", "cifar10", "fashion-mnist"} <= set(names)
    bundles = [open_bundle(name) for name in names]
    assert sum(path.stat().st_size for bundle in bundles for path in bundle.folder.iterdir()) <= 30_000_000
    for bundle in bundles:
        assert all(bundle.model_bytes(variant.index) for variant in bundle.manifest.variants)


def test_the_family_that_the_demo_shows_recognises_its_samples() -> None:
    bundle = open_bundle("fashion-mnist")
    samples = list((SAMPLES / "fashion-mnist").rglob("*.png"))
    assert Counter(path.parent.name for path in samples) == dict.fromkeys(bundle.manifest.classes, 100)
    summary = demo("--frames", "200", "--fps", "40", "--deadline-ms", "2000")
    assert summary["labels"] == summary["frames"] == 200
    assert summary["accuracy"]["fused"] >= 0.9
    reference = summary["all_pictures"]
    assert reference["pictures"] == 10_000, "measured with another bundle: see benchmarks/results/subsets.json"
    low, high = summary["interval_95"]["fused"]
    assert low < reference["fused"] < high


def test_ones_own_pictures_are_labelled_each_once(bundle: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "own", per_class=2)
    (folder / "mauve").mkdir()
    shutil.copy(folder / "red" / "0.jpg", folder / "mauve")
    summary = demo("--bundle", str(bundle), "--source", str(folder), "--deadline-ms", "2000")
    assert (summary["frames"], summary["not_classes"]) == (9, {"mauve": 1})
    assert summary["accuracy"]["fused"] == 1.0
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(folder / "red" / "0.jpg", flat)
    summary = demo("--bundle", str(bundle), "--source", str(flat), "--kill", "1", "--deadline-ms", "2000")
    assert (summary["frames"], summary["accuracy"]["fused"], summary["answers"]) == (2, None, {"red": 2})


def is_camera(process: psutil.Process) -> bool:
    try:
        return "camera" in process.cmdline()
    except psutil.Error:  # it has just ended, as the demo's first look at Mosquitto does
        return False


def test_broker_and_nodes_end_with_a_demo_that_is_killed(bundle: Path, picture_folder: Path) -> None:
    command = [*COMMAND, "--json", "--frames", "100000", "--bundle", str(bundle), "--source", str(picture_folder)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL) as process:
        try:
            demo = psutil.Process(process.pid)
            deadline = time.monotonic() + 30
            while not any(map(is_camera, demo.children())):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            started = demo.children(recursive=True)
            # The guard of the broker and the broker, the fusion node, six variants and the camera.
            assert len(started) == 10
        finally:
            process.kill()
    _, alive = psutil.wait_procs(started, timeout=15)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
