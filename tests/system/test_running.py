"""The system at work: every node a real process, over a real Mosquitto."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.site import SITE, VARIANTS, Site
from tests.support.tiny import CLASSES
from vp_mqtt.protocol.frames import ClosedBy, FrameId
from vp_mqtt.protocol.topics import Kind

DEADLINE_MS = 250


def test_every_frame_of_a_camera_gets_one_right_label_in_order(site: Site, picture_folder: Path) -> None:
    # A deadline that even a busy machine meets: what is shown here are the labels, not their speed.
    site.start_all(VARIANTS, "--deadline-ms", "5000")
    site.start("camera", "camera", "--source", str(picture_folder), "--frames", "40", "--fps", "20")
    assert site.wait("camera", 40) == 0
    site.probe.until(lambda: len(site.probe.labels()) >= 40, "40 labels")
    labels, announces = site.probe.labels(), site.probe.announces()
    assert [label.frame for label in labels] == [announce.frame for announce in announces]
    assert len({label.frame for label in labels}) == 40
    assert {label.truth for label in labels} == {"red", "green", "blue", "grey"}
    assert all(label.label == label.truth for label in labels)
    for label in labels:
        assert label.alive == tuple(VARIANTS)
        assert sorted((*label.voted, *label.missing)) == list(VARIANTS)
        assert label.closed_by in {ClosedBy.COMPLETE, ClosedBy.DECIDED}

    def answered() -> int:
        return site.probe.stats("v0").get("votes", 0) + site.probe.stats("v0").get("frames_dropped", 0)

    site.probe.until(lambda: answered() == 40, "stats of v0")
    site.probe.until(lambda: site.probe.stats("fusion").get("labels") == 40, "stats of fusion")
    assert site.probe.states()["camera"] == "stopped"


def test_the_camera_measures_the_response_time(site: Site, picture_folder: Path) -> None:
    site.start_all(range(2))
    site.start("camera", "camera", "--source", str(picture_folder), "--fps", "20")
    site.probe.until(lambda: site.probe.stats("camera").get("labels", 0) >= 10, "labels seen by the camera")


def test_votes_are_small_and_labels_say_how_long_they_are_valid(site: Site) -> None:
    site.start_all()
    site.probe.publish_frame(FrameId(1, 0))
    site.probe.label_of(FrameId(1, 0))
    site.probe.until(lambda: len(site.probe.of(Kind.VOTE)) == 6, "six votes")
    assert {len(vote.payload) for vote in site.probe.of(Kind.VOTE)} == {8 + 4 * 3}
    label = next(m for m in site.probe.received if m.topic == site.probe.topics.label("cam0"))
    properties = site.probe.properties[site.probe.received.index(label)]
    assert json.loads(label.payload)["valid_for_s"] == 5.0
    assert 1 <= getattr(properties, "MessageExpiryInterval", 0) <= 5


def test_each_variant_in_turn_can_be_killed(site: Site) -> None:
    patient_ms = 5000
    site.start_all(VARIANTS, "--deadline-ms", str(patient_ms))
    for sequence, victim in enumerate(VARIANTS):
        site.kill(f"v{victim}")
        frame = FrameId(1, sequence)
        site.probe.publish_frame(frame, "blue")
        label = site.probe.label_of(frame)
        assert label.label == "blue"
        assert label.alive == tuple(v for v in VARIANTS if v != victim)
        assert victim in label.missing
        assert label.latency_ms < patient_ms
        site.start_variant(victim)
        site.await_online(f"v{victim}")
        site.await_log("fusion", f"variant {victim} is online", times=2)


def test_one_variant_left_alone_still_labels_every_frame(site: Site) -> None:
    site.start_all(VARIANTS, "--deadline-ms", "5000")
    for victim in VARIANTS[1:]:
        site.kill(f"v{victim}")
    for sequence in range(20):
        frame, colour = FrameId(1, sequence), CLASSES[sequence % len(CLASSES)]
        site.probe.publish_frame(frame, colour)
        label = site.probe.label_of(frame)
        assert (label.label, label.voted, label.alive) == (colour, (0,), (0,))


def test_no_variant_at_all_gives_a_label_that_says_so(site: Site) -> None:
    site.start_all([])
    site.probe.publish_frame(FrameId(1, 0))
    label = site.probe.label_of(FrameId(1, 0))
    assert label.label is None
    assert label.voted == ()
    assert label.missing == tuple(VARIANTS)
    assert label.closed_by is ClosedBy.DEADLINE


def test_a_variant_that_hangs_is_waited_for_no_longer_and_comes_back(site: Site) -> None:
    site.start_all(range(2), "--suspect-after", "3")
    site.signal("v1", signal.SIGSTOP)
    latencies = []
    for sequence in range(6):
        site.probe.publish_frame(FrameId(1, sequence), "green")
        label = site.probe.label_of(FrameId(1, sequence))
        assert label.label == "green"
        latencies.append(label.latency_ms)
    # Variant 1's weight alone could change the winner, so its vote was waited for until it was suspected.
    assert all(latency >= DEADLINE_MS for latency in latencies[:3])
    assert all(latency < DEADLINE_MS for latency in latencies[3:])
    site.signal("v1", signal.SIGCONT)
    site.await_log("fusion", "variant 1 votes again")
    site.probe.publish_frame(FrameId(1, 10), "green")
    assert 1 in site.probe.label_of(FrameId(1, 10)).voted


def test_after_the_brokers_return_everything_is_back_within_five_seconds(
    site: Site, broker: Mosquitto, picture_folder: Path
) -> None:
    site.start_all()
    site.start("camera", "camera", "--source", str(picture_folder), "--fps", "20")
    site.probe.until(lambda: len(site.probe.labels()) >= 10, "labels before")
    broker.stop()
    began = site.processor_time("fusion")
    time.sleep(1.5)
    assert site.processor_time("fusion") - began < 0.5, "the fusion node spins while there is no broker"
    before = len(site.probe.labels())
    broker.start()
    back = time.monotonic()

    site.probe.until(
        lambda: any(label.alive == tuple(VARIANTS) and label.label for label in site.probe.labels()[before:]),
        "a label with all six alive",
    )
    assert time.monotonic() - back < 5
    frames = [label.frame for label in site.probe.labels()]
    assert len(frames) == len(set(frames))


def test_nodes_wait_for_a_broker_that_is_not_there_yet(broker: Mosquitto, bundle: Path, tmp_path: Path) -> None:
    with Site(broker.url, broker.port, bundle, tmp_path) as site:
        broker.stop()
        site.start_variant(0)
        site.await_log("v0", "trying until it is there")
        broker.start()
        site.await_online("v0")
        assert site.log("v0").count("trying until it is there") == 1


def test_a_late_vote_is_counted_and_dropped(site: Site) -> None:
    site.start_all([0])
    frame = FrameId(1, 0)
    site.probe.publish_frame(frame)
    site.probe.label_of(frame)
    vote = next(m for m in site.probe.of(Kind.VOTE))
    site.probe.publish(site.probe.topics.vote("cam0", 5), vote.payload, frame.encode())
    site.probe.until(lambda: site.probe.stats("fusion").get("late") == 1, "late vote counted")
    assert len(site.probe.labels()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_node_cleanly(site: Site, picture_folder: Path, number: signal.Signals) -> None:
    site.start_all([0])
    site.start("camera", "camera", "--source", str(picture_folder))
    site.start("watch", "watch")
    site.probe.until(lambda: len(site.probe.labels()) >= 3, "labels")
    for name in ("camera", "v0", "fusion", "watch"):
        site.signal(name, number)
        assert site.wait(name, 5) == 0
    site.await_state("stopped", "camera", "v0", "fusion")
    assert "watch" not in site.probe.states()


def test_a_signal_ends_a_node_that_looks_for_its_broker(broker: Mosquitto, bundle: Path, tmp_path: Path) -> None:
    with Site(broker.url, broker.port, bundle, tmp_path) as site:
        broker.stop()
        site.start_variant(0)
        site.await_log("v0", "trying until it is there")
        site.signal("v0", signal.SIGTERM)
        assert site.wait("v0", 5) == 0


def test_watch_prints_labels_as_json_lines_and_so_does_mosquitto_sub(site: Site, broker: Mosquitto) -> None:
    site.start_all([0])
    site.start("watch", "watch", "--json")
    site.await_log("watch", "connected")
    topic = "vp/+/camera/+/label"
    subscriber = subprocess.Popen(
        ["mosquitto_sub", "-p", str(broker.port), "-t", topic, "-C", "1", "-W", "20"], stdout=subprocess.PIPE
    )
    sequence = 0
    while subscriber.poll() is None:
        site.probe.publish_frame(FrameId(1, sequence), "blue")
        site.probe.label_of(FrameId(1, sequence))
        sequence += 1
    assert json.loads(subscriber.communicate()[0])["label"] == "blue"
    site.await_log("watch", '"label":"blue"')


def test_the_newest_frame_wins_over_a_backlog(site: Site) -> None:
    site.start_all([0])
    site.signal("v0", signal.SIGSTOP)
    for sequence in range(50):
        site.probe.publish_frame(FrameId(1, sequence))
    site.signal("v0", signal.SIGCONT)
    newest = FrameId(1, 49).encode()
    site.probe.until(lambda: any(v.correlation == newest for v in site.probe.of(Kind.VOTE)), "a vote on the newest")
    site.probe.until(lambda: site.probe.stats("v0").get("frames_dropped", 0) > 0, "frames dropped")
    site.probe.until(
        lambda: sum(site.probe.stats("v0").get(key, 0) for key in ("votes", "frames_dropped")) == 50,
        "all accounted for",
    )


def test_settings_come_from_a_file_too(site: Site, bundle: Path, tmp_path: Path) -> None:
    settings = tmp_path / "vp.toml"
    settings.write_text(f'bundle_is_not_common = 1\n[variant]\nbundle = "{bundle}"\n', encoding="utf-8")
    command = [sys.executable, "-m", "vp_mqtt", "node", "--variant", "1", "--config", str(settings)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode == 2
    assert "bundle_is_not_common" in refused.stderr
    settings.write_text(f'site = "{SITE}"\n[variant]\nbundle = "{bundle}"\nvariant = 3\n', encoding="utf-8")
    site.start("from-file", "node", "--config", str(settings))
    site.await_online("from-file")
    site.await_log("from-file", "variant 3 of 'tiny'")
