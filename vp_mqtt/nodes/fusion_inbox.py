"""What reaches the fusion node's loop: queues of events, and the guard at their entrance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.integrations import home_assistant
from vp_mqtt.mqtt.flood_guard import STRANGERS, FloodGuard, Limit, Source, Verdict
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.event_queue import Entry, EventQueue
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.site_settings import MAX_SETTINGS_BYTES
from vp_mqtt.protocol.topics import ANY, Kind, Topic, TopicError
from vp_mqtt.protocol.votes import MAX_VOTE_BYTES

_MAX_SOURCES = 2048
# Enough that what each round of the loop costs does not count; handled in a few ms.
_AT_MOST = 64
_VOTE = f"/{Kind.VOTE}"
_FRESH_ONLY = {Kind.ANNOUNCE, Kind.VOTE}
# The site's pointer and its settings have gates of their own.
_OWN_GATES = {Kind.BUNDLE, Kind.FUSION_SETTINGS}
_FAST = {Kind.ANNOUNCE, Kind.STATE}
# A retained status of every node arrives at once with the subscription.
LIMITS = {
    Kind.ANNOUNCE: Limit(burst=150, per_second=300.0),
    Kind.VOTE: Limit(burst=500, per_second=50.0, per_announce=4.0),
    Kind.STATUS: Limit(burst=100, per_second=5.0),
    Kind.STATS: Limit(burst=100, per_second=20.0),
    # Of all cameras together: what is retained, and our own ones, that come back until the subscription ends.
    Kind.STATE: Limit(burst=1024, per_second=20.0),
}
"""What one camera, node or variant may send before it is blocked, by kind of message."""
STRANGERS_LIMITS = {
    Kind.ANNOUNCE: Limit(burst=256, per_second=20.0),
    Kind.STATUS: Limit(burst=300, per_second=20.0),
    # On topics that name no variant: a filter for the votes of all delivers them.
    Kind.VOTE: Limit(burst=500, per_second=50.0),
}
"""What all cameras, nodes or variants together may send that are not known (yet)."""
# Bytes of a payload, and messages of a source that may wait.
_BOUNDS = {
    Kind.ANNOUNCE: (4096, 64),
    Kind.VOTE: (MAX_VOTE_BYTES, 512),
    # Of a fusion node, with the names of its cameras.
    Kind.STATUS: (24_576, 4),
    Kind.STATS: (65_536, 1),
    Kind.BUNDLE: (65_536, 4),
    Kind.STATE: (8192, 1),
    # Of larger ones, so much comes that the node's status can say that they are too large.
    Kind.FUSION_SETTINGS: (MAX_SETTINGS_BYTES + 1, 4),
}

_HOME = f"{home_assistant.PREFIX}/"


class MessageArrived(NamedTuple):
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
        self._accepted: list[Entry[Event]] = []

    @property
    def dropped(self) -> int:
        """How many messages were dropped because too many were waiting."""
        return self._events.dropped

    def receive(self, message: Received) -> None:
        """Accept a message (in the network's thread); the loop gets it with the next `hand_over`."""
        try:
            route = _route(message.topic)
        except TopicError as error:
            invalid = _source_of_invalid(message.topic)
            if invalid is None or self._may_pass(invalid, message.at):
                place = message.topic if invalid is None or invalid[1] != STRANGERS else _strangers(invalid[0])
                self._on_refused(place, str(error))
            return
        if route is None:
            if message.topic.startswith(_HOME):
                self._receive_from_home(message)
            return
        topic, source, max_bytes, max_waiting = route
        if topic.kind in STRANGERS_LIMITS and not self._is_known(topic):
            source, max_waiting = (topic.kind, STRANGERS), STRANGERS_LIMITS[topic.kind].burst
        if topic.kind not in _OWN_GATES and not self._may_pass(source, message.at):
            return
        if topic.kind is Kind.STATE and not message.retained:
            return
        message = _cut(topic, message, max_bytes)
        if (reason := self._objection(topic, message, max_bytes)) is not None:
            self._on_refused(self._place(topic, source, message), reason)
            return
        if topic.kind is Kind.ANNOUNCE:
            with self._guard_lock:
                self._known.note_announce()
        # States that the broker has kept arrive before the first announces, and are needed before these.
        queue = (topic.kind, topic.source) if topic.kind is Kind.STATE else source
        self._accepted.append(Entry(queue, MessageArrived(topic, message), max_waiting, topic.kind in _FAST))

    def hand_over(self) -> None:
        """Let the loop have what was accepted (in the network's thread), after messages that arrived together."""
        if self._accepted:
            self._events.put(self._accepted)
            self._accepted = []

    def _receive_from_home(self, message: Received) -> None:
        if message.topic != home_assistant.BIRTH_TOPIC:
            self._accepted.append(Entry(message.topic, DiscoveryArrived(message.payload), 1))
        elif message.payload == home_assistant.BIRTH_PAYLOAD:
            self._accepted.append(Entry(message.topic, HomeAssistantStarted(), 1))

    def put(self, event: Event) -> None:
        """Add an event of the node's own: it is never dropped, and comes before messages that wait."""
        self._events.put_first(event)

    def get(self, timeout: float | None) -> list[Event]:
        """Wait for events, and return those that wait, in a bounded number: their results are published together.

        There are none when the time (in s) is over or the inbox is closed.
        """
        return self._events.get(timeout, at_most=_AT_MOST)

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

    def _is_known(self, topic: Topic) -> bool:
        if topic.kind is Kind.ANNOUNCE:
            return self._acquaintances.knows_camera(topic.source)
        # A variant that has an index has a place.
        return topic.kind is Kind.VOTE or self._acquaintances.knows_node(topic.source)

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
        return _strangers(topic.kind) if source[1] == STRANGERS else message.topic

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


class _Route(NamedTuple):
    """What the topic of a message says about it.

    Attributes:
        topic: the topic, parsed.
        source: whose message it is, where the camera or node is known.
        max_bytes: that its payload may have.
        max_waiting: how many messages of the source may wait.
    """

    topic: Topic
    source: Source
    max_bytes: int
    max_waiting: int


@lru_cache(maxsize=4096)
def _route(text: str) -> _Route | None:
    """Return what a topic says about its messages; None for one of no interest, or of Home Assistant.

    Raises:
        TopicError: it does not belong to the scheme.
    """
    if text.startswith(_HOME):
        return None
    topic = topics.parse(text)
    if (bounds := _BOUNDS.get(topic.kind)) is None:
        return None
    name = topic.source
    if topic.kind is Kind.VOTE:
        name = str(topic.variant)
    elif topic.kind is Kind.STATE:
        name = ANY
    return _Route(topic, (topic.kind, name), *bounds)


def _cut(topic: Topic, message: Received, max_bytes: int) -> Received:
    """Return settings that are too large as no larger than shows it; any other message as it is."""
    return message._replace(payload=message.payload[:max_bytes]) if topic.kind is Kind.FUSION_SETTINGS else message


def _strangers(kind: Kind) -> str:
    return f"unknown sources of {kind} messages"


def _source_of_invalid(topic: str) -> Source | None:
    """Return who floods if too many messages come on a topic whose camera or node cannot be one.

    Only a variant, all states, or all that are not known together, can be left at the broker.
    """
    head, _, last = topic.rpartition("/")
    if head.endswith(_VOTE):
        return Kind.VOTE, last if topics.is_index(last) else STRANGERS
    if last == Kind.STATE:
        return Kind.STATE, ANY
    return (Kind(last), STRANGERS) if last in STRANGERS_LIMITS else None
