"""Everything that a node subscribes to has a bound, above which it is left at the broker."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from paho.mqtt.client import topic_matches_sub

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.follow import InitialBundle
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.settings import FusionSettings, VariantSettings
from vp_mqtt.mqtt.message import AnySubscription, Outgoing, Received, Subscription
from vp_mqtt.nodes import base, claiming, fusion, signals, variant
from vp_mqtt.nodes.camera import CameraNode
from vp_mqtt.nodes.fusion import FusionNode
from vp_mqtt.nodes.snapshot import write_picture
from vp_mqtt.nodes.variant import VariantNode

AnyNode = CameraNode | VariantNode | FusionNode
BUNDLE = "fashion-mnist"
MOST = 1_100
"""Messages within a second that are read of one filter before it is left at the broker: labels are the most."""


class Session:
    """Keeps the filters that are subscribed to, and delivers messages that match one of them."""

    def __init__(
        self,
        _broker: object,
        *,
        subscriptions: list[AnySubscription],
        on_message: Callable[[Received], None],
        **_: object,
    ) -> None:
        self.filters = {Subscription(*one).topic for one in subscriptions}
        self.connections = 1
        self.connected = threading.Event()
        self.delivered = 0
        self._on_message = on_message

    def start(self) -> None:
        pass

    def stop(self, *_: object, **__: object) -> None:
        pass

    def publish(self, _message: Outgoing) -> None:
        pass

    def subscribe(self, topics: list[str], _qos: int = 0, *, retained: bool = True) -> None:
        self.filters |= set(topics)
        assert retained in {True, False}

    def set_birth(self, _message: Outgoing) -> None:
        pass

    def unsubscribe(self, topic: str) -> None:
        self.filters.discard(topic)

    def deliver(self, message: Received) -> None:
        wildcards = [one for one in list(self.filters) if "+" in one]
        if message.topic in self.filters or any(topic_matches_sub(one, message.topic) for one in wildcards):
            self.delivered += 1
            self._on_message(message)


class Follower:
    def follow(self, *_: object) -> None:
        pass

    def offer(self, _payload: bytes) -> None:
        pass


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    start = InitialBundle(open_bundle(BUNDLE), [], Follower())  # type: ignore[arg-type]
    monkeypatch.setattr(base, "Session", Session)
    monkeypatch.setattr(base, "_notify_systemd", lambda *_: None)
    monkeypatch.setattr(signals, "handle", lambda _: None)
    for module in (variant, claiming, fusion):
        monkeypatch.setattr(module, "find_initial_bundle", lambda *_: start)


def _camera(folder: Path) -> CameraNode:
    region = "door=0,0,0.5,0.5 bay=0.5,0,1,0.5"
    return CameraNode(CameraSettings.model_validate({"source": str(folder), "camera": "cam0", "region": region}))


NODES: dict[str, Callable[[Path], AnyNode]] = {
    "camera": _camera,
    "variant": lambda _: VariantNode(VariantSettings(variant=0)),
    "variant of named cameras": lambda _: VariantNode(VariantSettings(variant=0, cameras=("cam0", "cam1"))),
    "variant that chooses": lambda folder: VariantNode(VariantSettings(variant="auto", bundle_cache=folder)),
    "fusion": lambda _: FusionNode(FusionSettings(home_assistant=True, state=True)),
    "fusion of named cameras": lambda _: FusionNode(FusionSettings(cameras=("cam0", "cam1"))),
}


def _start(kind: str, folder: Path) -> Session:
    write_picture(folder / "picture.jpg", np.zeros((8, 8, 3), np.uint8))
    node = NODES[kind](folder)
    node.start()
    return cast("Session", node._node.session)


def _topics(one: str, names: Sequence[str]) -> list[str]:
    """Return topics that match a filter, of the sources of these names."""
    return [one.replace("+", name) for name in names] if "+" in one else [one]


def _flood(session: Session, topics: Sequence[str]) -> int:
    """Deliver 2,000 messages within a second on these topics in turn, and return how many were read."""
    before, now = session.delivered, time.monotonic()
    for number, topic in zip(range(2_000), itertools.cycle(topics), strict=False):
        session.deliver(Received(topic, b"x", b"y" * 8, now + number / 2_000, retained="/state" in topic))
    return session.delivered - before


@pytest.mark.parametrize("names", [["cam0"], ["not a name"], [f"cam{number}" for number in range(1_300)]])
@pytest.mark.parametrize("kind", NODES)
def test_whatever_a_node_subscribes_to_is_left_at_the_broker_while_it_floods(
    kind: str, names: list[str], tmp_path: Path
) -> None:
    session = _start(kind, tmp_path)
    filters = sorted(session.filters)
    assert filters
    for one in filters:
        assert _flood(session, _topics(one, names)) <= MOST, one
