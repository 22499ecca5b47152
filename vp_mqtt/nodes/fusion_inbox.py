"""What reaches the fusion node's loop: queues of events, and the guard at their entrance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.flood_guard import STRANGERS, FloodGuard, Limit, Source, Verdict
from vp_mqtt.integrations import home_assistant
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.event_queue import EventQueue
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.topics import ANY, Kind, Topic, TopicError
from vp_mqtt.protocol.votes import MAX_VOTE_BYTES

_MAX_SOURCES = 2048
_VOTE = f"/{Kind.VOTE}"
_FRESH_ONLY = {Kind.ANNOUNCE, Kind.VOTE}
# A retained status of every node arrives at once with the subscription.
LIMITS = {
    Kind.ANNOUNCE: Limit(burst=150, per_second=300.0),
    Kind.VOTE: Limit(burst=500, per_second=50.0, per_announce=4.0),
    Kind.STATUS: Limit(burst=100, per_second=5.0),
    Kind.STATS: Limit(burst=100, per_second=20.0),
    Kind.BUNDLE: Limit(burst=100, per_second=5.0),
    Kind.STATE: Limit(burst=512, per_second=20.0),
}
"""What one camera, node or variant may send before it is blocked, by kind of message."""
STRANGERS_LIMITS = {Kind.ANNOUNCE: Limit(burst=256, per_second=20.0), Kind.STATUS: Limit(burst=300, per_second=20.0)}
"""What all cameras, and all nodes, together may send that are not known (yet)."""
# Bytes of a payload, and messages of a source that may wait.
_BOUNDS = {
    Kind.ANNOUNCE: (4096, 64),
    Kind.VOTE: (MAX_VOTE_BYTES, 512),
    Kind.STATUS: (8192, 4),
    Kind.STATS: (65_536, 1),
    Kind.BUNDLE: (65_536, 4),
    Kind.STATE: (8192, 1),
}

_parse = lru_cache(maxsize=4096)(topics.parse)


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A message arrived on one of the site's topics."""

    topic: Topic
    message: Received


@dataclass(frozen=True, slots=True)
class BundleArrived:
    """A bundle is on disk, verified: votes of its variants may come."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class SourceFlooded:
    """A source sent too many messages: they are left at the broker for a while."""

    source: Source


@dataclass(frozen=True, slots=True)
class HomeAssistantStarted:
    """Home Assistant published its birth message."""


@dataclass(frozen=True, slots=True)
class DiscoveryArrived:
    """The site's discovery message for Home Assistant, as the broker has it."""

    payload: bytes


Event = MessageArrived | BundleArrived | SourceFlooded | HomeAssistantStarted | DiscoveryArrived


class Acquaintances(Protocol):
    """Who is known; asked in the network's thread."""

    def knows_camera(self, name: str) -> bool:
        """Return whether a camera of this name has a place."""
        ...

    def may_announce(self, name: str) -> bool:
        """Return whether a camera of this name could get a place."""
        ...

    def knows_node(self, name: str) -> bool:
        """Return whether a node of this name has a place."""
        ...


class FusionInbox:
    """Accepts messages in the network's thread, and hands out events to the fusion node's loop."""

    def __init__(
        self,
        acquaintances: Acquaintances,
        *,
        on_refused: Callable[[str, str], None],
        on_flooded: Callable[[], None],
        on_block: Callable[[Source], None],
    ) -> None:
        """Start empty. The callbacks run in the network's thread.

        Args:
            acquaintances: who is known: everybody else shares the room for strangers.
            on_refused: called with the topic and the reason of a message that is refused.
            on_flooded: called for every message that is dropped because its source floods.
            on_block: called with a source that floods, once per flood.
        """
        self._acquaintances = acquaintances
        self._on_refused = on_refused
        self._on_flooded = on_flooded
        self._on_block = on_block
        self._known = FloodGuard(LIMITS)
        self._strangers = FloodGuard(STRANGERS_LIMITS)
        self._guard_lock = threading.Lock()
        self._events: EventQueue[Event] = EventQueue(max_sources=_MAX_SOURCES)

    @property
    def dropped(self) -> int:
        """How many messages were dropped because too many were waiting."""
        return self._events.dropped

    def receive(self, message: Received) -> None:
        """Accept a message (in the network's thread)."""
        if message.topic.startswith(f"{home_assistant.PREFIX}/"):
            self._receive_from_home(message)
            return
        try:
            topic = _parse(message.topic)
        except TopicError as error:
            # A flood with invalid camera names is a flood, too: only its variant's topic filter can stop it.
            head, _, last = message.topic.rpartition("/")
            is_vote = head.endswith(_VOTE) and last.isascii() and last.isdecimal()
            if not is_vote or self._may_pass((Kind.VOTE, last), message.at):
                self._on_refused(message.topic, str(error))
            return
        bounds = _BOUNDS.get(topic.kind)
        if bounds is None or (topic.kind is Kind.STATE and not message.retained):
            return
        source = self._source(topic)
        if not self._may_pass(source, message.at):
            return
        max_bytes, max_waiting = bounds
        if source[1] == STRANGERS:
            max_waiting = STRANGERS_LIMITS[topic.kind].burst
        if (reason := self._objection(topic, message, max_bytes)) is not None:
            self._on_refused(self._place(topic, source, message), reason)
            return
        if topic.kind is Kind.ANNOUNCE:
            with self._guard_lock:
                self._known.note_announce()
        # States that the broker has kept arrive before the first announces, and are needed before these.
        is_fast = topic.kind in {Kind.ANNOUNCE, Kind.STATE}
        self._events.put(
            (topic.kind, topic.source) if topic.kind is Kind.STATE else source,
            MessageArrived(topic, message),
            limit=max_waiting,
            is_fast=is_fast,
        )

    def _receive_from_home(self, message: Received) -> None:
        if message.topic != home_assistant.BIRTH_TOPIC:
            self._events.put(message.topic, DiscoveryArrived(message.payload), limit=1)
        elif message.payload == home_assistant.BIRTH_PAYLOAD:
            self._events.put(message.topic, HomeAssistantStarted(), limit=1)

    def put(self, event: Event) -> None:
        """Add an event of the node's own: it is never dropped, and comes before messages that wait."""
        self._events.put_first(event)

    def get(self, timeout: float | None) -> Event | None:
        """Wait for an event; None when the time (in s) is over or the inbox is closed."""
        return self._events.get(timeout)

    def close(self) -> None:
        """Hand out nothing more, and wake the loop."""
        self._events.close()

    def unblock(self, now: float) -> set[Source]:
        """Accept messages again of the sources that were blocked for long enough, and return them."""
        with self._guard_lock:
            return self._known.unblock(now) | self._strangers.unblock(now)

    def next_unblock(self) -> float | None:
        """Return when `unblock` has something to do, on the monotonic clock; None while no source is blocked."""
        with self._guard_lock:
            dues = [guard.next_unblock() for guard in (self._known, self._strangers)]
        return min((due for due in dues if due is not None), default=None)

    def _source(self, topic: Topic) -> Source:
        if topic.kind is Kind.VOTE:
            return topic.kind, str(topic.variant)
        if topic.kind is Kind.ANNOUNCE:
            return topic.kind, topic.source if self._acquaintances.knows_camera(topic.source) else STRANGERS
        if topic.kind is Kind.STATUS:
            return topic.kind, topic.source if self._acquaintances.knows_node(topic.source) else STRANGERS
        if topic.kind is Kind.STATE:
            return topic.kind, ANY
        return topic.kind, topic.source

    def _objection(self, topic: Topic, message: Received, max_bytes: int) -> str | None:
        if len(message.payload) > max_bytes:
            return "too large"
        if topic.kind not in _FRESH_ONLY:
            return None
        if message.retained:
            return f"retained {topic.kind}"
        return None if self._acquaintances.may_announce(topic.source) else "camera of another site plan"

    @staticmethod
    def _place(topic: Topic, source: Source, message: Received) -> str:
        """Return what to name in the log: not each name that a stranger thinks of."""
        return f"unknown sources of {topic.kind} messages" if source[1] == STRANGERS else message.topic

    def _may_pass(self, source: Source, at: float) -> bool:
        guard = self._strangers if source[1] == STRANGERS else self._known
        with self._guard_lock:
            verdict = guard.check(source, at)
        if verdict is Verdict.ACCEPT:
            return True
        if verdict is Verdict.BLOCK:
            self._on_block(source)
            self._events.put_first(SourceFlooded(source))
        self._on_flooded()
        return False
