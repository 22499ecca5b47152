"""A board that floods: its votes stay at the broker, and other boards' frames are not delayed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tests.support.site import SITE, Site
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.protocol import votes
from vp_mqtt.protocol.frames import ClosedBy, FrameId

_FLOODER = 2
_FLOOD = """
import sys
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, topic, vote = int(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3])
client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.connect("127.0.0.1", port)
client.loop_start()
sequence = 0
while True:
    properties = Properties(PacketTypes.PUBLISH)
    properties.CorrelationData = (9).to_bytes(4, "big") + sequence.to_bytes(4, "big")
    sent = client.publish(topic, vote, properties=properties)
    sequence += 1
    if sequence % 200 == 0:
        sent.wait_for_publish(10)
"""


@contextmanager
def _flood(site: Site, variant: int | str = _FLOODER) -> Iterator[None]:
    """Let a client send valid votes of a variant, as fast as it can."""
    digest = open_bundle(site.bundle).manifest.short_digest
    vote = votes.encode(votes.select(np.array([0.7, 0.1, 0.1, 0.1]), 3, digest))
    port = site.url.rpartition(":")[2]
    topic = site.probe.topics.vote("cam0", variant)
    process = subprocess.Popen([sys.executable, "-c", _FLOOD, port, topic, vote.hex()])
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def _reduce_subscriptions(site: Site) -> None:
    site.probe.client.unsubscribe("vp/#")
    for topic in (f"vp/{SITE}/camera/+/label", f"vp/{SITE}/node/#"):
        site.probe.client.subscribe(topic, qos=1)


def test_a_flood_of_valid_looking_votes_from_one_board_does_not_delay_the_others_frames(site: Site) -> None:
    site.start_all(range(4), "--deadline-ms", "5000")
    _reduce_subscriptions(site)
    sequence = 0
    with _flood(site):
        site.await_log("fusion", f"variant {_FLOODER} floods", timeout=30)
        for sequence in range(20):
            site.probe.publish_frame(FrameId(1, sequence), "red")
            label = site.probe.label_of(FrameId(1, sequence), timeout=20)
            assert label.label == "red"
            assert label.closed_by is not ClosedBy.DEADLINE
            assert set(label.voted) <= {0, 1, 3}
        site.probe.until(lambda: site.probe.stats("fusion").get("flooded", 0) > 0, "dropped votes are counted")
    assert not any(label.frame.startswith("00000009") for label in site.probe.labels())

    # When the flood is over, the board's own votes count again.
    until = time.monotonic() + 60
    while _FLOODER not in site.probe.label_of(FrameId(1, sequence)).voted:
        assert time.monotonic() < until, "still blocked"
        sequence += 1
        site.probe.publish_frame(FrameId(1, sequence), "red")


def test_a_flood_on_vote_topics_that_name_no_variant_ends_no_fusion_node_that_shares_its_cameras(site: Site) -> None:
    site.start("fusion", "fusion", "--bundle", str(site.bundle), "--shard")
    site.start("v0", "node", "--variant", "0", "--bundle", str(site.bundle))
    site.await_online("fusion", "v0", timeout=60)
    _reduce_subscriptions(site)
    sequence = 0
    while not site.probe.labels():
        assert sequence < 300, "the node never has the camera"
        site.probe.publish_frame(FrameId(1, sequence), "red")
        sequence += 1
        time.sleep(0.1)
    with _flood(site, "1" * 5000):
        site.await_log("fusion", "Vote messages of unknown names flood", timeout=30)
        site.probe.publish_frame(FrameId(1, sequence), "red")
        assert site.probe.label_of(FrameId(1, sequence), timeout=20).label == "red"
