"""Subscriptions to one kind of message, of which a single source that floods can be left at the broker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from vp_mqtt.nodes.base import Node
from vp_mqtt.protocol.topics import ANY


class SourceSubscriptions:
    """The subscriptions to one kind of message, of everyone or of each known source by itself.

    A single source cannot be left out of a filter with a wildcard. While one floods, there is a filter for each of the
    others instead; those who are not known yet wait. Not to be used by several threads at once.
    """

    def __init__(
        self,
        node: Node,
        topic: Callable[[str], str],
        known: Callable[[], Collection[str]],
        *,
        qos: int,
        retained: bool,
        has_wildcard: bool = True,
    ) -> None:
        """Subscribe.

        Args:
            node: which subscribes.
            topic: returns the topic of a source, or the filter for `ANY`.
            known: returns the names of the sources that are known.
            qos: highest QoS of the messages.
            retained: whether the broker is to send what it has retained.
            has_wildcard: whether messages of sources that are not known are of interest.
        """
        self._node = node
        self._topic = topic
        self._known = known
        self._qos = qos
        self._retained = retained
        self._has_wildcard = has_wildcard
        self._blocked: set[str] = set()
        self._single: set[str] = set()
        if has_wildcard:
            self._subscribe([ANY])
        else:
            self._add(known())

    def set_open(self, *, is_open: bool) -> None:
        """Leave the messages of all sources at the broker, or no longer."""
        names = [ANY] if self._has_wildcard and not self._blocked else sorted(self._single)
        if is_open:
            self._subscribe(names)
            return
        for name in names:
            self._node.session.unsubscribe(self._topic(name))

    def block(self, name: str) -> None:
        """Leave a source's messages at the broker; with the name of none, those of all that are not known."""
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
        """Have a source's messages delivered again."""
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
        self._node.subscribe([self._topic(name) for name in names], qos=self._qos, retained=self._retained, limit=None)
