"""Whether a node is online: what is heard of it counts, not what the broker has kept. Pure: the clock is passed in.

A node that loses power together with the broker leaves a retained status "online" behind, and no will is published.
Such a node is *silent*: its status says online, but its stats, which every node sends regularly, do not arrive.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from vp_mqtt.protocol.messages import DEFAULT_STATS_EVERY_S, Message, Name, State, StatusMessage

SILENT_AFTER_PERIODS = 3
"""A node is silent when nothing has been heard of it for this many times the interval of its stats."""
LEAST_SILENCE_S = 3.0
"""A busy board may be late with its stats, however often it is to send them."""

_REMEMBERED_RESTARTS = 4


class Presence(StrEnum):
    """What is known of a node: its state, and whether it is heard."""

    ONLINE = "online"
    SILENT = "silent"
    """Its status says that it is online, but nothing has been heard of it for three intervals of its stats."""
    STOPPED = "stopped"
    OFFLINE = "offline"


class PresenceMessage(Message):
    """What the fusion node hears of another node; retained, sent when it changes and every minute."""

    presence: Presence
    node: Name


def silent_after_s(status: StatusMessage) -> float:
    """Return after how many seconds without a message a node that is online is silent."""
    return silence_s(status.stats_every_s or DEFAULT_STATS_EVERY_S)


def silence_s(stats_every_s: float) -> float:
    """Return after how many seconds without a message a node is silent that sends its stats so often."""
    return max(LEAST_SILENCE_S, SILENT_AFTER_PERIODS * stats_every_s)


@dataclass(frozen=True, slots=True)
class Restart:
    """A start of a node that was listened to already.

    Attributes:
        at: when it was heard, on the monotonic clock, in seconds.
        host: the machine.
        host_before: the machine of the node's start before.
    """

    at: float
    host: str
    host_before: str


class NodePresence:
    """The presence of one node.

    Attributes:
        status: its newest status.
        heard_at: when it was last heard: a status, stats or other message that was not retained; None if never.
        bundle_since: since when it has had its present bundle, as far as is known.
        restarts: its latest ones, oldest first.
    """

    def __init__(self, status: StatusMessage, *, retained: bool, now: float) -> None:
        """Begin with a status.

        Args:
            status: the node's.
            retained: whether the broker had kept it: it may be old, and its node dead.
            now: on a monotonic clock, in seconds, as everywhere here.
        """
        self.status = status
        self.heard_at: float | None = None
        self.bundle_since = now
        self.restarts: deque[Restart] = deque(maxlen=_REMEMBERED_RESTARTS)
        self._started: StatusMessage | None = None
        self._listening_since = now
        self.note_status(status, retained=retained, now=now)

    def note_status(self, status: StatusMessage, *, retained: bool, now: float) -> None:
        """Note a status of the node."""
        if status.digest != self.status.digest:
            self.bundle_since = now
        self.status = status
        # A process that is ousted by another one of the same name leaves its will, which says when that was started.
        if status.state is State.ONLINE:
            before, self._started = self._started, status
            if before is not None and before.started != status.started and not retained:
                self.restarts.append(Restart(now, status.host, before.host))
        if not retained:
            # The will is the broker's message, but then the state says all.
            self.heard_at = now

    def note_heard(self, now: float) -> None:
        """Note stats or another message of the node, not retained."""
        self.heard_at = now

    def note_deaf(self, now: float) -> None:
        """Note that the listener itself was cut off from the broker until now: silence before this says nothing."""
        self._listening_since = now

    def at(self, now: float) -> Presence:
        """Return the node's presence; a node whose silence has not lasted long enough yet counts as online."""
        if self.status.state is not State.ONLINE:
            return Presence(self.status.state)
        since = max(self._listening_since, self.heard_at or 0.0)
        return Presence.SILENT if now - since > silent_after_s(self.status) else Presence.ONLINE

    def is_heard(self, now: float) -> bool:
        """Return whether the node is online and was heard recently: a retained status alone does not suffice."""
        return self.heard_at is not None and self.at(now) is Presence.ONLINE
