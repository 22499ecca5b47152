"""Several fusion nodes that share a site's cameras, and several boards that share a variant's frames."""

from __future__ import annotations

import threading
import time
from collections import Counter

from tests.support.site import Site
from tests.support.statuses import status_of
from vp_mqtt.fusion.rendezvous import owner
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import LabelMessage, StateMessage, StatusMessage
from vp_mqtt.protocol.topics import Kind

_CAMERAS = [f"cam{n}" for n in range(6)]
_FUSION = ("fusion-a", "fusion-b")
_BOARDS = ("board-a", "board-b")
_EVERY_S = 0.1


def publish_status(site: Site) -> None:
    """Say which cameras there are, as a camera node does."""
    status = status_of("cameras", "camera", camera="cam", regions=tuple(_CAMERAS))
    site.probe.publish(site.probe.topics.status("cameras"), status.encode())


def labels_by(site: Site, node: str) -> list[LabelMessage]:
    return [label for label in site.probe.labels() if label.owner == node]


def cameras_of(site: Site, node: str) -> set[str]:
    return {label.camera for label in labels_by(site, node)}


def yields_of(site: Site, node: str) -> dict[str, str]:
    statuses = [m for m in site.probe.of(Kind.STATUS) if m.topic == site.probe.topics.status(node)]
    return (StatusMessage.decode(statuses[-1].payload).yields or {}) if statuses else {}


def states_of(site: Site, camera: str) -> list[StateMessage]:
    topic = site.probe.topics.state(camera)
    return [StateMessage.decode(m.payload) for m in site.probe.of(Kind.STATE) if m.topic == topic]


def test_the_cameras_of_a_dead_fusion_node_and_the_frames_of_a_dead_board_are_taken_over(site: Site) -> None:
    for name in _FUSION:
        site.start(name, "fusion", "--bundle", str(site.bundle), "--shard", "--state-every", "1")
    for name in _BOARDS:
        site.start(name, "node", "--variant", "0", "--bundle", str(site.bundle), "--replica")
    site.await_online(*_FUSION, *_BOARDS, timeout=60)
    site.probe.until(lambda: all(yields_of(site, name) for name in _FUSION), "both share", 30)
    publish_status(site)
    ended = threading.Event()

    def publish() -> None:
        sequence = 0
        while not ended.wait(_EVERY_S):
            for camera in _CAMERAS:
                site.probe.publish_frame(FrameId(1, sequence), "red", camera)
            sequence += 1

    cameras = threading.Thread(target=publish)
    cameras.start()
    try:
        shares = {name: {camera for camera in _CAMERAS if owner(_FUSION, camera) == name} for name in _FUSION}
        assert all(shares.values())
        site.probe.until(lambda: all(cameras_of(site, name) == shares[name] for name in _FUSION), "shares", 30)
        moved = min(shares["fusion-a"])
        site.probe.until(lambda: states_of(site, moved), "a state", 30)
        site.probe.until(lambda: all(site.probe.stats(name).get("votes", 0) > 0 for name in _BOARDS), "both vote", 30)
        site.kill("board-a")
        site.kill("fusion-a")
        at = time.time()
        site.probe.until(lambda: cameras_of(site, "fusion-b") == set(_CAMERAS), "taken over", 30)
        site.probe.until(lambda: states_of(site, moved)[-1].published > at, "its state, too", 30)
    finally:
        ended.set()
        cameras.join()
    # The state has moved with its camera: for whoever reads it, nothing has changed.
    assert len({(state.label, state.since) for state in states_of(site, moved)}) == 1
    assert max(Counter((label.camera, label.frame) for label in site.probe.labels()).values()) == 1
    assert max(Counter((m.topic, m.correlation) for m in site.probe.of(Kind.VOTE)).values()) == 1
    assert [label.voted for label in labels_by(site, "fusion-b")[-3:]] == [(0,)] * 3
