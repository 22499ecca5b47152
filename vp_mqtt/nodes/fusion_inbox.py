"""What reaches the fusion node's loop: one inbox of events, and the guard at its entrance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.flood_guard import FloodGuard, Verdict
from vp_mqtt.integrations import home_assistant
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Received
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.topics import Kind, Topic, TopicError

_WAITING_PER_SOURCE = 256
_VOTE = f"/{Kind.VOTE}"


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
class VariantFlooded:
    """A variant sent too many votes: its votes are left at the broker for a while."""

    variant: int


@dataclass(frozen=True, slots=True)
class HomeAssistantStarted:
    """Home Assistant published its birth message."""


Event = MessageArrived | BundleArrived | VariantFlooded | HomeAssistantStarted


class FusionInbox:
    """Accepts messages in the network's thread, and hands out events to the fusion node's loop."""

    def __init__(
        self,
        *,
        on_refused: Callable[[str, str], None],
        on_flooded: Callable[[], None],
        on_block: Callable[[int], None],
    ) -> None:
        """Start empty. The callbacks run in the network's thread.

        Args:
            on_refused: called with the topic and the reason of a message that is refused.
            on_flooded: called for every vote that is dropped because its variant floods.
            on_block: called with a variant that floods, once per flood.
        """
        self._on_refused = on_refused
        self._on_flooded = on_flooded
        self._on_block = on_block
        self._guard = FloodGuard()
        self._guard_lock = threading.Lock()
        self._events: Inbox[Event] = Inbox(per_source=_WAITING_PER_SOURCE)

    @property
    def dropped(self) -> int:
        """How many messages were dropped because too many were waiting."""
        return self._events.dropped

    def receive(self, message: Received) -> None:
        """Accept a message (in the network's thread)."""
        if message.topic == home_assistant.BIRTH_TOPIC:
            if message.payload == home_assistant.BIRTH_PAYLOAD:
                self._events.put(message.topic, HomeAssistantStarted())
            return
        try:
            topic = topics.parse(message.topic)
        except TopicError as error:
            # A flood with invalid camera names is a flood, too: only its variant's topic filter can stop it.
            head, _, last = message.topic.rpartition("/")
            is_vote = head.endswith(_VOTE) and last.isascii() and last.isdecimal()
            if not is_vote or self._may_pass(int(last), message.at):
                self._on_refused(message.topic, str(error))
            return
        if topic.kind is Kind.ANNOUNCE:
            with self._guard_lock:
                self._guard.note_announce()
        elif topic.kind is Kind.VOTE and topic.variant is not None and not self._may_pass(topic.variant, message.at):
            return
        self._events.put(message.topic, MessageArrived(topic, message))

    def put(self, event: Event) -> None:
        """Add an event of the node's own: it is never dropped, and comes before messages that wait."""
        self._events.put_first(event)

    def get(self, timeout: float | None) -> Event | None:
        """Wait for an event; None when the time (in s) is over or the inbox is closed."""
        return self._events.get(timeout)

    def close(self) -> None:
        """Hand out nothing more, and wake the loop."""
        self._events.close()

    def unblock(self, now: float) -> set[int]:
        """Accept votes again of the variants that were blocked for long enough, and return them."""
        with self._guard_lock:
            return self._guard.unblock(now)

    def next_unblock(self) -> float | None:
        """Return when `unblock` has something to do, on the monotonic clock; None while no variant is blocked."""
        with self._guard_lock:
            return self._guard.next_unblock()

    def _may_pass(self, variant: int, at: float) -> bool:
        with self._guard_lock:
            verdict = self._guard.check(variant, at)
        if verdict is Verdict.ACCEPT:
            return True
        if verdict is Verdict.BLOCK:
            self._on_block(variant)
            self._events.put_first(VariantFlooded(variant))
        self._on_flooded()
        return False
