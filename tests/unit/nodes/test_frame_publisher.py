"""How large the frames of a camera are on the wire."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.logs import Refusals
from vp_mqtt.mqtt.connection import MAX_REMAINING_LENGTH
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.frame_encoder import MAX_FRAME_BYTES, FrameEncoder
from vp_mqtt.nodes.frame_publisher import FramePublisher, Moment
from vp_mqtt.nodes.sources.base import Captured
from vp_mqtt.protocol.topics import Topics

GRAINY = np.random.default_rng(0).integers(0, 256, (2000, 2500, 3), dtype=np.uint8)


class FakeNode:
    """Keeps what is published over a connection whose broker takes packets of so many bytes."""

    is_connected = True

    def __init__(self, max_publish_bytes: int) -> None:
        self.topics, self.counts, self.refusals = Topics("home"), Counter[str](), Refusals()
        self.session = SimpleNamespace(max_publish_bytes=max_publish_bytes)
        self.published: list[Outgoing] = []

    def publish(self, message: Outgoing) -> object:
        self.published.append(message)
        return SimpleNamespace(is_pending=True)


@pytest.mark.parametrize(
    ("max_publish_bytes", "limit", "said"),
    [
        (MAX_REMAINING_LENGTH, MAX_FRAME_BYTES, "frames are over the 8 MB that boards accept: sent smaller"),
        (1_000_000, 1_000_000, "frames are over the broker's packet limit: sent smaller"),
    ],
)
def test_pictures_that_boards_or_broker_would_refuse_are_sent_smaller(
    max_publish_bytes: int, limit: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(encode_jpeg(GRAINY, 100)) > MAX_FRAME_BYTES
    node = FakeNode(max_publish_bytes)
    encoder = FrameEncoder(size=None, quality=100, passes_through=True)
    publisher = FramePublisher(cast("Node", node), "cam0", encoder, in_flight=4)
    for number in range(2):
        assert publisher.publish(Captured(GRAINY), Moment(number, number))
    frames = [message.payload for message in node.published if message.topic == node.topics.frame("cam0")]
    assert [limit / 4 < len(frame) <= limit for frame in frames] == [True, True]
    assert node.counts["shrunk"] == 2
    assert [said in line for line in caplog.messages] == [True]
