from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from vp_mqtt.mqtt.flood_guard import STRANGERS
from vp_mqtt.nodes.camera_subscriptions import CameraSubscriptions
from vp_mqtt.protocol.topics import Kind, Topics

ALL = {"camera/+/announce", "camera/+/vote/+"}
OWN = {"camera/cam0/announce", "camera/cam0/vote/+"}


class Subscribed:
    """The subscriptions of a node with two variants that knows two cameras, as they are at the broker."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self.known = ["cam0", "cam1"]
        node = SimpleNamespace(
            topics=Topics("home"),
            subscribe=lambda topics, **_: self._topics.update(topics),
            session=SimpleNamespace(unsubscribe=self._topics.remove),
        )
        self.cameras = CameraSubscriptions(cast("Any", node), self.known)
        self.cameras.set_variants(2)

    @property
    def topics(self) -> set[str]:
        return {topic.removeprefix("vp/home/") for topic in self._topics}


@pytest.fixture
def subscribed() -> Subscribed:
    return Subscribed()


def test_nothing_is_subscribed_to_before_the_node_has_cameras(subscribed: Subscribed) -> None:
    assert subscribed.topics == set()


def test_a_node_that_has_all_cameras_hears_of_new_ones_and_one_that_shares_hears_its_own_only(
    subscribed: Subscribed,
) -> None:
    subscribed.cameras.set_cameras(None, None)
    assert subscribed.topics == ALL
    subscribed.cameras.set_cameras({"cam0"}, {"cam0", "cam1"})
    assert subscribed.topics == OWN | {"camera/cam1/vote/+"}
    subscribed.cameras.set_cameras({"cam0"}, {"cam0"})
    assert subscribed.topics == OWN
    subscribed.cameras.set_cameras(None, None)
    assert subscribed.topics == ALL


def test_a_variant_that_floods_is_left_at_the_broker_for_every_camera(subscribed: Subscribed) -> None:
    subscribed.cameras.set_cameras({"cam0"}, {"cam0"})
    subscribed.cameras.block(Kind.VOTE, "1", is_blocked=True)
    assert subscribed.topics == {"camera/cam0/announce", "camera/cam0/vote/0"}
    subscribed.cameras.set_cameras({"cam1"}, {"cam1"})
    assert subscribed.topics == {"camera/cam1/announce", "camera/cam1/vote/0"}
    subscribed.cameras.block(Kind.VOTE, "1", is_blocked=False)
    assert subscribed.topics == {"camera/cam1/announce", "camera/cam1/vote/+"}


def test_votes_on_topics_that_name_no_variant_are_left_at_the_broker_without_those_of_the_variants(
    subscribed: Subscribed,
) -> None:
    subscribed.cameras.set_cameras({"cam0"}, {"cam0"})
    subscribed.cameras.block(Kind.VOTE, STRANGERS, is_blocked=True)
    assert subscribed.topics == {"camera/cam0/announce", "camera/cam0/vote/0", "camera/cam0/vote/1"}
    subscribed.cameras.block(Kind.VOTE, STRANGERS, is_blocked=False)
    assert subscribed.topics == OWN


def test_a_camera_that_floods_is_left_at_the_broker_whoever_has_it(subscribed: Subscribed) -> None:
    subscribed.cameras.set_cameras(None, None)
    subscribed.cameras.block(Kind.ANNOUNCE, "cam1", is_blocked=True)
    assert subscribed.topics == {"camera/cam0/announce", "camera/+/vote/+"}
    subscribed.cameras.set_cameras({"cam0", "cam1"}, {"cam0", "cam1"})
    assert "camera/cam1/announce" not in subscribed.topics
    subscribed.cameras.block(Kind.ANNOUNCE, "cam1", is_blocked=False)
    assert "camera/cam1/announce" in subscribed.topics
