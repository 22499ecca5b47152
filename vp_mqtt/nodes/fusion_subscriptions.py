"""What the fusion node subscribes to, and what it leaves at the broker while a source floods."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from vp_mqtt.fusion.flood_guard import STRANGERS, Source
from vp_mqtt.nodes.base import Node
from vp_mqtt.protocol.topics import ANY, Kind


class _Names:
    """The subscriptions to one kind of message, of everyone or of each known source by itself.

    A single source cannot be left out of a filter with a wildcard. While one floods, there is a filter for each of the
    others instead; those who are not known yet wait.
    """

    def __init__(
        self,
        node: Node,
        topic: Callable[[str], str],
        known: Callable[[], Collection[str]],
        *,
        retained: bool,
        has_wildcard: bool = True,
    ) -> None:
        self._node = node
        self._topic = topic
        self._known = known
        self._retained = retained
        self._has_wildcard = has_wildcard
        self._blocked: set[str] = set()
        self._single: set[str] = set()
        if has_wildcard:
            self._subscribe([ANY])
        else:
            self._add(known())

    def block(self, name: str) -> None:
        is_first = not self._blocked
        self._blocked.add(name)
        if is_first and self._has_wildcard:
            # What is retained comes again. Of the rest, in the other order, nothing is lost that others send meanwhile.
            if self._retained:
                self._node.session.unsubscribe(self._topic(ANY))
            self._add(self._known())
            if not self._retained:
                self._node.session.unsubscribe(self._topic(ANY))
        elif name in self._single:
            self._single.discard(name)
            self._node.session.unsubscribe(self._topic(name))

    def unblock(self, name: str) -> None:
        self._blocked.discard(name)
        if self._blocked or not self._has_wildcard:
            self._add([name] if name in self._known() else [])
            return
        self._subscribe([ANY])
        for single in self._single:
            self._node.session.unsubscribe(self._topic(single))
        self._single.clear()

    def _add(self, names: Iterable[str]) -> None:
        new = sorted(set(names) - self._blocked - self._single)
        self._single.update(new)
        self._subscribe(new)

    def _subscribe(self, names: Sequence[str]) -> None:
        self._node.subscribe([self._topic(name) for name in names], qos=1, retained=self._retained)


class FusionSubscriptions:
    """The subscriptions of the fusion node; may be changed from any thread."""

    def __init__(
        self,
        node: Node,
        *,
        cameras: Collection[str] | None,
        known_cameras: Callable[[], Collection[str]],
        known_nodes: Callable[[], Collection[str]],
    ) -> None:
        """Subscribe to announces and statuses.

        Args:
            node: which subscribes.
            cameras: the only ones whose announces are of interest; None for those that come first.
            known_cameras: returns the cameras that are known.
            known_nodes: returns the nodes that are known.
        """
        self._node = node
        self._lock = threading.Lock()
        self._variants = 0
        self._heard: set[str] = set()
        self._announces = _Names(
            node,
            node.topics.announce,
            known_cameras if cameras is None else lambda: cameras,
            retained=False,
            has_wildcard=cameras is None,
        )
        self._statuses = _Names(node, node.topics.status, known_nodes, retained=True)

    def add_variants(self, count: int) -> None:
        """Subscribe to the votes of so many variants, each by itself, so that one that floods can be left out."""
        with self._lock:
            self._subscribe_votes(range(self._variants, count))
            self._variants = max(self._variants, count)

    def listen_to(self, nodes: Collection[str]) -> None:
        """Subscribe to the stats of these nodes and no others, to hear whether they are alive."""
        with self._lock:
            gone, new = self._heard.difference(nodes), set(nodes) - self._heard
            self._heard = set(nodes)
            for name in gone:
                self._node.session.unsubscribe(self._node.topics.stats(name))
            self._node.subscribe([self._node.topics.stats(name) for name in sorted(new)], retained=False)

    def block(self, source: Source) -> None:
        """Leave a source's messages at the broker."""
        kind, name = source
        with self._lock:
            if kind is Kind.ANNOUNCE:
                self._announces.block(name)
            elif kind is Kind.STATUS:
                self._statuses.block(name)
            elif (topic := self._single(source)) is not None:
                self._node.session.unsubscribe(topic)

    def unblock(self, source: Source) -> None:
        """Have a source's messages delivered again."""
        kind, name = source
        with self._lock:
            if kind is Kind.ANNOUNCE:
                self._announces.unblock(name)
            elif kind is Kind.STATUS:
                self._statuses.unblock(name)
            elif kind is Kind.VOTE:
                self._subscribe_votes([int(name)])
            elif kind is Kind.STATS and name in self._heard:
                self._node.subscribe([self._node.topics.stats(name)], retained=False)

    def note_own_flood(self, *, is_flooded: bool) -> None:
        """Leave the node's own status at the broker, which the filter for all statuses would deliver, or no longer."""
        own = Kind.STATUS, self._node.name
        if is_flooded:
            self.block(own)
        else:
            self.unblock(own)

    def _single(self, source: Source) -> str | None:
        kind, name = source
        if kind is Kind.VOTE:
            return self._node.topics.vote(ANY, name)
        if kind is Kind.STATE:
            return self._node.topics.state(ANY)
        return self._node.topics.stats(name) if kind is Kind.STATS and name != STRANGERS else None

    def _subscribe_votes(self, variants: Iterable[int]) -> None:
        self._node.subscribe([self._node.topics.vote(ANY, variant) for variant in variants], retained=False)
