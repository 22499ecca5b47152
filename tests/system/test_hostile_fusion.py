"""What clients with the rights of one account, or with none, cannot do to the labels of others."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.support.site import Site, picture
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.protocol.frames import ClosedBy, FrameId
from vp_mqtt.protocol.messages import State, StatusMessage
from vp_mqtt.protocol.votes import encode, select

_LAST = 2**32 - 1


def grey_vote(site: Site) -> bytes:
    return encode(select(np.array([0.0, 0.0, 0.0, 1.0]), 3, open_bundle(site.bundle).manifest.short_digest))


def status_of(site: Site, node: str, **changes: object) -> StatusMessage:
    """Return the newest status of a node, with changes."""
    topic = site.probe.topics.status(node)
    newest = [message for message in site.probe.received if message.topic == topic][-1]
    return StatusMessage.decode(newest.payload).model_copy(update=changes)


def test_votes_before_the_announce_decide_nothing_alone(site: Site) -> None:
    site.start_all(range(5), "--deadline-ms", "2000")
    for sequence in range(5):
        frame = FrameId(1, sequence)
        site.probe.publish(site.probe.topics.vote("cam0", 5), grey_vote(site), frame.encode())
        time.sleep(0.1)
        site.probe.publish_frame(frame, "red")
        label = site.probe.label_of(frame)
        assert label.label == "red"
        assert label.closed_by is not ClosedBy.DEADLINE
    assert "silent" not in site.log("fusion")


def test_frames_that_nobody_can_read_are_held_against_no_one(site: Site) -> None:
    site.start_all(range(3), "--suspect-after", "1")
    for sequence in range(5):
        site.probe.announce(FrameId(2, sequence), camera="broken")
        site.probe.label_of(FrameId(2, sequence))
    for sequence in range(5):
        site.probe.publish_frame(FrameId(1, sequence), "red")
        assert len(site.probe.label_of(FrameId(1, sequence)).voted) >= 2
    assert "silent" not in site.log("fusion")


@pytest.mark.parametrize("kind", ["announce", "vote", "frame"])
def test_retained_messages_are_not_taken(site: Site, kind: str) -> None:
    frame = FrameId(1, 0)
    topics = site.probe.topics
    site.start_variant(0)
    site.await_online("v0")
    site.probe.announce(frame)
    payloads = {
        "announce": (topics.announce("cam0"), site.probe.received[-1].payload),
        "vote": (topics.vote("cam0", 5), grey_vote(site)),
        "frame": (topics.frame("cam0"), b"not a picture"),
    }
    topic, payload = payloads[kind]
    site.probe.client.publish(topic, payload, qos=1, retain=True).wait_for_publish(5)
    # This one was there when it was published.
    site.kill("v0")
    site.probe.received.clear()
    site.start_all(range(2))
    site.probe.publish_frame(FrameId(1, 1), "red")
    assert site.probe.label_of(FrameId(1, 1)).label == "red"
    assert [label.frame for label in site.probe.labels()] == [str(FrameId(1, 1))]
    nodes = ("fusion", "v0", "v1")
    site.probe.until(lambda: all(site.probe.stats(node) for node in nodes), "stats of all nodes")
    assert all(site.probe.stats(node).get("refused", 0) == 0 for node in nodes)


def test_a_sequence_number_at_the_end_of_the_range_and_old_announces_do_no_harm(site: Site) -> None:
    site.start_all(range(3))
    frames = [FrameId(1, sequence) for sequence in (0, _LAST, 1, 2, 3)]
    for frame in frames:
        site.probe.publish_frame(frame, "green")
        assert len(site.probe.label_of(frame).voted) >= 2
    for frame in frames:
        site.probe.announce(frame)
    site.probe.until(lambda: site.probe.stats("fusion").get("duplicate_announces") == len(frames), "all refused")
    assert len(site.probe.labels()) == len(frames)


def test_a_lying_status_ends_no_node_and_silences_no_variant(site: Site) -> None:
    site.start_all(range(2))
    for node in ("v0", "v1", "fusion"):
        lie = status_of(site, node, instance="ffffffff", started=1e11, state=State.OFFLINE)
        for state in (State.ONLINE, State.OFFLINE):
            payload = lie.model_copy(update={"state": state}).encode()
            site.probe.publish(site.probe.topics.status(node), payload)
    site.await_online("v0", "v1", "fusion")
    site.probe.publish_frame(FrameId(1, 0), "red")
    site.probe.label_of(FrameId(1, 0))
    site.probe.publish_frame(FrameId(1, 1), "red")
    assert site.probe.label_of(FrameId(1, 1)).alive == (0, 1)
    assert all(site._processes[name].poll() is None for name in ("v0", "v1", "fusion"))


def test_floods_of_a_nodes_own_status_of_one_cameras_frames_and_of_foreign_topics_are_left_at_the_broker(
    site: Site,
) -> None:
    site.start_all(range(2), "--deadline-ms", "5000", "--home-assistant")
    site.probe.publish_frame(FrameId(1, 0), "red")
    site.probe.label_of(FrameId(1, 0))
    for node in ("fusion", "v0"):
        lie = status_of(site, node, instance="00000000", started=1.0, problem="x" * 100).encode()
        for _ in range(300):
            site.probe.client.publish(site.probe.topics.status(node), lie, qos=0)
        site.await_log(node, f"{site.probe.topics.status(node)} floods: it is left at the broker")
    for _ in range(2000):
        site.probe.client.publish(site.probe.topics.frame("cam1"), b"x" * 30, qos=0)
    for _ in range(100):
        site.probe.client.publish("homeassistant/status", b"online", qos=0)
    for node in ("v0", "v1"):
        site.await_log(node, "the frames of 'cam1' flood: they are left at the broker")
    site.await_log("fusion", "homeassistant/status floods: it is left at the broker")
    for sequence in range(1, 4):
        site.probe.publish_frame(FrameId(1, sequence), "red")
        assert site.probe.label_of(FrameId(1, sequence)).label == "red"


def test_a_second_fusion_node_is_noticed(site: Site) -> None:
    site.start_fusion()
    site.await_online("fusion")
    site.start("other", "fusion", "--bundle", str(site.bundle))
    site.await_log("fusion", "another fusion node, 'other' on ")
    site.await_log("other", "another fusion node, 'fusion' on ")


def test_a_deadline_that_no_vote_meets_is_said(site: Site) -> None:
    site.start_all(range(4), "--deadline-ms", "0.01")
    said = "most votes come after the deadline of 0.01 ms: raise --deadline-ms"
    for sequence in range(300):
        # The announce comes first, and the frame when its window is closed.
        frame = FrameId(1, sequence)
        site.probe.announce(frame)
        site.probe.label_of(frame)
        site.probe.publish(site.probe.topics.frame("cam0"), encode_jpeg(picture("red"), 90), frame.encode())
        if said in site.log("fusion"):
            break
        # A board that is busy skips frames.
        time.sleep(0.03)
    site.await_log("fusion", said)
    assert site.log("fusion").count("silent") <= 10


def test_only_the_cameras_that_are_named_get_labels(site: Site) -> None:
    site.start_all(range(2), "--cameras", "cam0, cam1")
    for number in range(3):
        site.probe.publish_frame(FrameId(1, number), "red", camera=f"cam{number}")
    for number in range(2):
        assert site.probe.label_of(FrameId(1, number)).camera == f"cam{number}"
    assert len(site.probe.labels()) == 2
