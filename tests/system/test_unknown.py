"""A frame that shows none of the classes is unknown."""

from __future__ import annotations

import numpy as np

from tests.support.site import Site
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.protocol.frames import FrameId


def test_an_unknown_frame_gets_no_label_and_known_false(site: Site) -> None:
    site.start_variant(0, "--k", "1")
    site.start_fusion("--unknown", "0.5")
    site.await_state("online", "fusion", "v0")
    probe = site.probe
    shown, unknown = FrameId(7, 0), FrameId(7, 1)
    probe.publish_frame(shown, "red")
    label = probe.label_of(shown)
    assert (label.label, label.known) == ("red", True)
    # To the tiny bundle's models every class is as likely as the others.
    grey = np.full((48, 64, 3), 128, dtype=np.uint8)
    probe.publish(probe.topics.frame("cam0"), encode_jpeg(grey, 90), unknown.encode())
    probe.announce(unknown)
    label = probe.label_of(unknown)
    assert (label.label, label.class_index, label.confidence, label.score) == (None, None, None, None)
    assert (label.known, label.voted) == (False, (0,))
    assert label.known_score is not None
    assert label.known_score < 0.5
    assert len(label.top) == 1
