"""What the fusion node subscribes to, and what it leaves at the broker while a source floods."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from vp_mqtt.mqtt.flood_guard import STRANGERS, Source
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.camera_subscriptions import CameraSubscriptions
from vp_mqtt.nodes.source_subscriptions import SourceSubscriptions
from vp_mqtt.protocol.topics import ANY, Kind

_OF_CAMERAS = {Kind.ANNOUNCE, Kind.VOTE}


class FusionSubscriptions:
    """The subscriptions of the fusion node; may be changed from any thread."""

    def __init__(
        self,
        node: Node,
        *,
        cameras: Collection[str] | None,
        known_cameras: Callable[[], Collection[str]],
        known_nodes: Callable[[], Collection[str]],
        shared: Collection[str] | None = None,
    ) -> None:
        """Subscribe to announces and statuses.

        Args:
            node: which subscribes.
            cameras: the only ones whose announces are of interest; None for those that come first.
            known_cameras: returns the cameras that are known.
            known_nodes: returns the nodes that are known.
            shared: of a node that shares the cameras with others: all that are known, as they are at any time. It
                subscribes to what `set_cameras` says.
        """
        self._node = node
        self._lock = threading.Lock()
        self._variants = 0
        self._heard: set[str] = set()
        # Before the announces: who shares the cameras is known when these come.
        self._statuses = SourceSubscriptions(node, node.topics.status, known_nodes, qos=1, retained=True)
        self._shared = None if shared is None else CameraSubscriptions(node, shared)
        if self._shared is None:
            self._announces = SourceSubscriptions(
                node,
                node.topics.announce,
                known_cameras if cameras is None else lambda: cameras,
                qos=1,
                retained=False,
                has_wildcard=cameras is None,
            )
        else:
            # Also whether what it sends itself reaches the broker.
            self.listen_to(())

    def add_variants(self, count: int) -> None:
        """Subscribe to the votes of so many variants, each by itself, so that one that floods can be left out."""
        with self._lock:
            if self._shared is not None:
                self._shared.set_variants(max(self._variants, count))
            else:
                self._subscribe_votes(range(self._variants, count))
            self._variants = max(self._variants, count)

    def set_cameras(self, announced: Collection[str] | None, voted: Collection[str] | None) -> None:
        """Have the announces and votes of these cameras delivered only, where cameras are shared; None: of all.

        Raises:
            RuntimeError: they are not shared.
        """
        if self._shared is None:
            raise RuntimeError("the cameras are not shared")
        with self._lock:
            self._shared.set_cameras(announced, voted)

    def listen_to(self, nodes: Collection[str]) -> None:
        """Subscribe to the stats of these nodes and no others, to hear whether they are alive."""
        wanted = set(nodes) if self._shared is None else {*nodes, self._node.name}
        with self._lock:
            gone, new = self._heard - wanted, wanted - self._heard
            self._heard = wanted
            for name in gone:
                self._node.session.unsubscribe(self._node.topics.stats(name))
            self._node.subscribe([self._node.topics.stats(name) for name in sorted(new)], retained=False, limit=None)

    def block(self, source: Source) -> None:
        """Leave a source's messages at the broker."""
        kind, name = source
        with self._lock:
            if self._shared is not None and kind in _OF_CAMERAS:
                self._shared.block(kind, name, is_blocked=True)
            elif kind is Kind.ANNOUNCE:
                self._announces.block(name)
            elif kind is Kind.STATUS:
                self._statuses.block(name)
            elif (topic := self._single(source)) is not None:
                self._node.session.unsubscribe(topic)

    def unblock(self, source: Source) -> None:
        """Have a source's messages delivered again."""
        kind, name = source
        with self._lock:
            if self._shared is not None and kind in _OF_CAMERAS:
                self._shared.block(kind, name, is_blocked=False)
            elif kind is Kind.ANNOUNCE:
                self._announces.unblock(name)
            elif kind is Kind.STATUS:
                self._statuses.unblock(name)
            elif kind is Kind.VOTE and name != STRANGERS:
                self._subscribe_votes([int(name)])
            elif kind is Kind.STATS and name in self._heard:
                self._node.subscribe([self._node.topics.stats(name)], retained=False, limit=None)

    def note_topic_flood(self, topic: str, *, is_flooded: bool) -> None:
        """Leave the node's own status at the broker, which the filter for all statuses would deliver, or no longer."""
        own = Kind.STATUS, self._node.name
        if topic != self._node.topics.status(self._node.name):
            return
        if is_flooded:
            self.block(own)
        else:
            self.unblock(own)

    def _single(self, source: Source) -> str | None:
        kind, name = source
        if name == STRANGERS:
            return None
        if kind is Kind.VOTE:
            return self._node.topics.vote(ANY, name)
        if kind is Kind.STATE:
            return self._node.topics.state(ANY)
        return self._node.topics.stats(name) if kind is Kind.STATS else None

    def _subscribe_votes(self, variants: Iterable[int]) -> None:
        self._node.subscribe([self._node.topics.vote(ANY, variant) for variant in variants], retained=False, limit=None)
