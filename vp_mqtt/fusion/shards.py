"""Which cameras a fusion node has that shares a site with others. Pure: the clock is passed in.

Every member names a *token* in its status, and there repeats the tokens of the others that it *yields* to. A member has
a camera if, against each other member that may be alive, its score for the camera is the higher one (`rendezvous`), and
the other one yields to its present token. So a member that gives cameras away has stopped before its heir begins.

Who begins listens first, and yields to nobody. When it knows the others, it is *ready*: it says whom it yields to, and
from then on others yield to it. It has cameras once a heartbeat of its own that followed on this has come back from the
broker: of two that begin at the same time, the second one to be ready then knows of the first one.

Heirs subscribe to a camera's announces only once the camera is theirs: they label what is announced after that. What
keeps a member from labelling the same frames that is cut off, or frozen, and comes back:

- Its will. Behind it, the member's former connection delivers nothing. With each connection it draws another token, to
  which nobody yields yet.
- Its *lease*: it has its cameras until a while after it sent the last of its heartbeats that came back from the broker.
  It draws another token when the lease has run out. Others take it for silent later than that, as they heard the same
  heartbeat, or a later one.

Nobody is silent who could not be heard: silence counts from a member's last sign of life to the last of one's own
heartbeats that came back. What the other one had sent before that has arrived, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from vp_mqtt.fusion.rendezvous import owner, score
from vp_mqtt.protocol.messages import MAX_CAMERAS, MAX_SHARDS, State, StatusMessage
from vp_mqtt.protocol.presence import NodePresence, Presence, silence_s

SETTLE_S = 0.3
"""Who begins listens for so long at least: others answer by then, should the broker not deliver kept statuses."""
LEASE_SHARE = 0.8
"""Of the time after which a member is silent: the rest is for differences between clocks, and for slow links."""


class Shards:
    """A member's view of the others, and what it has.

    Attributes:
        version: grows with whatever may change what `owns` and `yields` return, but for the time.
    """

    def __init__(self, node: str, *, lease_s: float) -> None:
        """Have nothing until `begin`.

        Args:
            node: the member's name.
            lease_s: how long it has its cameras after a heartbeat, in s; see `lease_s`.
        """
        self._node = node
        self._lease_s = lease_s
        self._others: dict[str, NodePresence] = {}
        self._token = ""
        self._begun = self._confirmed = -math.inf
        self._ready = math.inf
        self._owned: dict[str, bool] = {}
        self.version = 0

    @property
    def token(self) -> str:
        """The member's present token; empty before the first `begin`."""
        return self._token

    def begin(self, token: str, now: float) -> None:
        """Have nothing any more until all others yield to a new token: the connection is new, or the lease was lost.

        Args:
            token: which nobody has had before.
            now: on a monotonic clock, in s, as everywhere here.
        """
        self._token = token
        self._begun, self._confirmed, self._ready = now, -math.inf, math.inf
        for other in self._others.values():
            other.note_deaf(now)
        self._change()

    def note_heartbeat(self, sent: float) -> None:
        """Note that a heartbeat of the member's own, sent at this time, has come back from the broker."""
        if sent >= self._begun:
            self._confirmed = max(self._confirmed, sent)
            self._change()

    def note_status(self, status: StatusMessage, *, retained: bool, now: float) -> None:
        """Note the status of another fusion node; one that does not share is none of the members."""
        name = status.node
        if name == self._node:
            return
        other = self._others.get(name)
        if status.state is State.ONLINE and status.shard is None:
            self._others.pop(name, None)
        elif other is not None:
            other.note_status(status, retained=retained, now=now)
        elif status.state is State.ONLINE and len(self._others) < MAX_SHARDS:
            self._others[name] = NodePresence(status, retained=retained, now=now)
        self._change()

    def note_heard(self, node: str, now: float) -> None:
        """Note stats of another node that were not retained."""
        if (other := self._others.get(node)) is not None:
            other.note_heard(now)
            self._change()

    def forget(self, node: str) -> None:
        """Note that a node's status was cleared."""
        self._others.pop(node, None)
        self._change()

    def has_lost_lease(self, now: float) -> bool:
        """Return whether the member had a lease that has run out."""
        return self._confirmed > -math.inf and now >= self._confirmed + self._lease_s

    def knows_others(self, now: float) -> bool:
        """Return whether the member has listened for long enough to be ready."""
        return self._confirmed > -math.inf and now >= self._begun + SETTLE_S

    @property
    def is_ready(self) -> bool:
        """Whether the member's status says whom it yields to."""
        return self._ready < math.inf

    def note_ready(self, now: float) -> None:
        """Note that a status that says whom the member yields to was sent before now, the first one with this token."""
        self._ready = now
        self._change()

    def is_settled(self, now: float) -> bool:
        """Return whether the member may have cameras: it was ready when it sent a heartbeat that has come back."""
        return self._ready <= self._confirmed and now < self._confirmed + self._lease_s

    def others(self) -> list[str]:
        """Return the names of the other members that may be alive and are ready."""
        return sorted(name for name, other in self._others.items() if self._counts(other))

    def yields(self) -> dict[str, str]:
        """Return the tokens of these others: they have what they score higher for."""
        return {name: self._others[name].status.shard or "" for name in self.others()}

    def heard(self) -> dict[str, str | None]:
        """Return the tokens of all others, ready or not: who is new needs to hear of this member."""
        return {name: other.status.shard for name, other in self._others.items()}

    def owns(self, camera: str, now: float) -> bool:
        """Return whether the camera is the member's: frames that are announced now are for it to label."""
        if not self.is_settled(now):
            return False
        is_owned = self._owned.get(camera)
        if is_owned is None:
            is_owned = self._owned[camera] = self._is_ours(camera)
        return is_owned

    def heirs_without(self, cameras: Iterable[str], now: float) -> dict[str, str]:
        """Return which of these cameras nobody has, although nothing but its own choice keeps another member from it.

        Returns:
            By camera, the name of the member that would have it: all others yield to it, and it does not own it.
        """
        if not self.is_settled(now):
            return {}
        others = self.yields()
        owned = {camera for name in others for camera in self._others[name].status.owns or ()}
        heirs = {camera: owner((self._node, *others), camera) for camera in cameras if camera not in owned}
        free = {heir: self._is_free_to_take(heir, others) for heir in {*heirs.values()}}
        return {camera: heir for camera, heir in heirs.items() if free[heir]}

    def _is_free_to_take(self, heir: str, others: dict[str, str]) -> bool:
        """Return whether all yield to another member that says what it owns."""
        if heir == self._node:
            return False
        owns = self._others[heir].status.owns
        # A longer list is cut.
        return (
            owns is not None
            and len(owns) < MAX_CAMERAS
            and all(
                (self._others[name].status.yields or {}).get(heir) == others[heir] for name in others if name != heir
            )
            and (self._others[heir].status.yields or {}).get(self._node) == self._token
        )

    def _change(self) -> None:
        self.version += 1
        self._owned.clear()

    def _is_ours(self, camera: str) -> bool:
        own = score(self._node, camera)
        return all(
            (other.status.yields or {}).get(self._node) == self._token and score(name, camera) < own
            for name, other in self._others.items()
            if self._counts(other)
        )

    def _counts(self, other: NodePresence) -> bool:
        return other.status.yields is not None and other.at(self._confirmed) is Presence.ONLINE


def lease_s(stats_every_s: float) -> float:
    """Return for how long after a heartbeat a member has its cameras that sends one so often, in s."""
    return LEASE_SHARE * silence_s(stats_every_s)
