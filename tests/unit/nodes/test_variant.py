from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.manifest import Preprocessing
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes import variant
from vp_mqtt.nodes.loaded_variant import LoadedVariant
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


def test_a_node_says_that_it_needs_larger_frames_before_it_has_the_larger_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = VariantNode(VariantSettings(variant=0))
    while_loading: list[int | None] = []

    def load(bundle: Bundle, index: int, **_: object) -> LoadedVariant:
        while_loading.append(node._node._status.current.frame_side)
        if bundle is broken:
            raise UserError("it cannot be loaded")
        return LoadedVariant(bundle.manifest, bundle.variant(index), 3, lambda batch: batch)

    def bundle_of(resolution: int) -> Bundle:
        entry = found.variant(0).model_copy(update={"resolution": resolution})
        preprocessing = Preprocessing(zoom=1.25)
        update = {"variants": (entry, *found.manifest.variants[1:]), "preprocessing": preprocessing}
        return replace(found, manifest=found.manifest.model_copy(update=update))

    monkeypatch.setattr(variant, "load_variant", load)
    found = open_bundle("fashion-mnist")
    small, large, broken = bundle_of(48), bundle_of(300), bundle_of(400)
    after = []
    for bundle in (small, large, broken, small):
        with suppress(UserError):
            node._load(bundle, 0, None, node._node.stopping)
        after.append(node._node._status.current.frame_side)
    assert while_loading == [60, 375, 500, 375]
    assert after == [60, 375, 375, 60]
    node.stop()


def warned_of(node: VariantNode) -> str | None:
    """Show the node a camera in colours, half an hour ago, and return what its status says of them."""
    picture = np.random.default_rng(0).integers(40, 220, (240, 320, 3), dtype=np.uint8)
    manifest, now = open_bundle("fashion-mnist").manifest, time.monotonic() - 1800
    for second in range(20):
        node._fit.look("cam0", picture, encode_jpeg(picture, 90), manifest, now + second)
    return node._node._status.current.problem


def test_a_board_without_frames_warns_no_longer_of_a_camera_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variant, "LOOK_FOR_GONE_EVERY_S", 0.01)
    node = VariantNode(VariantSettings(variant=0))
    assert "'cam0' are in colour" in (warned_of(node) or "")
    work = threading.Thread(target=node._work)
    work.start()
    until = time.monotonic() + 20
    while node._node._status.current.problem is not None and time.monotonic() < until:
        time.sleep(0.01)
    node.stop()
    work.join(20)
    assert node._node._status.current.problem is None


def test_a_board_that_runs_no_variant_any_more_warns_of_no_cameras_pictures() -> None:
    node = VariantNode(VariantSettings(variant="auto"))
    assert warned_of(node) is not None
    node._rest()
    assert node._node._status.current.problem is None
    node.stop()
