from __future__ import annotations

import numpy as np
import pytest

from tests.support.fusing import manifest, windows_of
from vp_mqtt.logs import Refusals
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.fusion_inbox import MessageArrived
from vp_mqtt.nodes.fusion_messages import FusionMessages
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import State, StatsMessage, StatusMessage
from vp_mqtt.protocol.presence import Presence

FAMILY = manifest((1.0, 1.0), 2)


class Site:
    """What a fusion node hears of boards that run variant 1."""

    def __init__(self) -> None:
        windows, handover = windows_of(FAMILY, deadline=0.25)
        self.messages = FusionMessages(windows, handover, Refusals(), None)

    def hear(self, topic: str, payload: bytes, now: float, correlation: bytes | None = None) -> None:
        message = Received(topic, payload, correlation, now)
        self.messages.handle(MessageArrived(topics.parse(topic), message), now)

    def status(self, name: str, now: float) -> None:
        status = StatusMessage(
            state=State.ONLINE,
            node=name,
            role="variant",
            version="1",
            host="pi",
            client_id=f"vp-home-{name}",
            instance="0" * 8,
            started=0,
            variant=1,
            bundle=FAMILY.name,
            digest=FAMILY.short_digest.hex(),
        )
        self.hear(f"vp/home/node/{name}/status", status.encode(), now)

    def stats(self, name: str, now: float) -> None:
        self.hear(f"vp/home/node/{name}/stats", StatsMessage(node=name, uptime_s=1.0, counts={}).encode(), now)

    def vote(self, now: float) -> None:
        vote = votes.encode(votes.select(np.array([0.9, 0.1]), 1, FAMILY.short_digest))
        self.hear("vp/home/camera/cam0/vote/1", vote, now, FrameId(1, int(now)).encode())

    def presence(self, now: float) -> dict[str, Presence]:
        self.messages.tick(now)
        return self.messages.nodes.presences("variant", now)


@pytest.mark.parametrize("has_twin", [False, True])
def test_a_vote_shows_that_a_board_is_alive_unless_its_twin_may_have_sent_it(*, has_twin: bool) -> None:
    site = Site()
    site.status("a", 0.0)
    if has_twin:
        site.status("b", 0.0)
    for now in range(1, 40):
        site.vote(float(now))
        if has_twin:
            site.stats("b", float(now))
        found = site.presence(float(now))
    assert found["a"] is (Presence.SILENT if has_twin else Presence.ONLINE)
    assert found.get("b", Presence.ONLINE) is Presence.ONLINE
