from __future__ import annotations

import threading

import numpy as np

from tests.site import Site
from vp_mqtt import topk
from vp_mqtt.family import open_bundle
from vp_mqtt.frames import FrameId
from vp_mqtt.packets import Outgoing


def test_a_flood_of_valid_looking_votes_does_not_keep_others_frames_from_their_labels(site: Site) -> None:
    site.start_all(range(3))
    digest = open_bundle(site.bundle).manifest.short_digest
    vote = topk.encode(topk.select(np.array([0.7, 0.1, 0.1, 0.1]), 3, digest))
    over = threading.Event()
    sent = 0

    def flood() -> None:
        nonlocal sent
        while not over.is_set():
            message = Outgoing(site.probe.topics.vote("cam0", 5), vote, correlation=FrameId(9, sent).encode())
            info = site.probe.client.publish(message.topic, message.payload, properties=message.properties())
            sent += 1
            if sent % 200 == 0:
                info.wait_for_publish(5)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        for sequence in range(10):
            site.probe.publish_frame(FrameId(1, sequence), "red")
            label = site.probe.label_of(FrameId(1, sequence), timeout=20)
            assert label.label == "red"
            # Those who were asked were heard: the flood pushed nobody out.
            assert set(label.voted) & {0, 1, 2}
    finally:
        over.set()
        thread.join()
    assert sent > 1000
    assert not any(label.frame.startswith("00000009") for label in site.probe.labels())
