from __future__ import annotations

import pytest

from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes import variant
from vp_mqtt.nodes.variant import VariantNode


@pytest.mark.parametrize(("largest", "fit"), [(8_000_000, 8), (100_000_000, 12)])
def test_the_frames_that_wait_are_bounded_in_bytes_and_small_ones_are_kept(
    largest: int, fit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[Inbox[Received]] = []

    class Noted(Inbox[Received]):
        def __init__(self, **limits: object) -> None:
            super().__init__(**limits)  # type: ignore[arg-type]
            created.append(self)

    monkeypatch.setattr(variant, "Inbox", Noted)
    node = VariantNode(VariantSettings(variant=0, max_frame_bytes=largest))
    (inbox,) = created
    frame = bytes(7_900_000)
    node._receive(Received("vp/home/camera/honest/frame", frame[:50_000], b"", 0.0))
    for number in range(150):
        node._receive(Received(f"vp/home/camera/x{number}/frame", frame, b"", 0.0))
    waiting = []
    while (message := inbox.get(0)) is not None:
        waiting.append(len(message.payload))
    assert waiting == [50_000] + [len(frame)] * fit
    assert inbox.dropped == 150 - fit
    node.stop()
