"""Hears what the other nodes of a site run, for a node that chooses its variant."""

from __future__ import annotations

import threading
import time

from vp_mqtt.mqtt.flood_guard import Limit
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.claims import Claimant
from vp_mqtt.protocol.messages import StatsMessage, StatusMessage, decode_of_node
from vp_mqtt.protocol.topics import ANY, Kind

# Of all nodes together: statuses at once when the node connects, and each whenever it changes; of stats, those of more
# nodes than a claimant remembers.
_LIMITS = {Kind.STATUS: Limit(burst=1000, per_second=20.0), Kind.STATS: Limit(burst=500, per_second=300.0)}


class ClaimWatch:
    """Tells a claimant of the statuses and stats of a site's nodes; while they flood, nothing is heard."""

    def __init__(self, node: Node, claimant: Claimant, lock: threading.Lock) -> None:
        """Subscribe.

        Args:
            node: which subscribes.
            claimant: told of other nodes.
            lock: to be held by whoever uses the claimant.
        """
        self._node, self._claimant, self._lock = node, claimant, lock
        self._filters = {Kind.STATUS: node.topics.status(ANY), Kind.STATS: node.topics.stats(ANY)}
        self._flooded: set[str] = set()
        node.gates.on_flood = self._note_flood
        node.subscribe([self._filters[Kind.STATUS]], qos=1, limit=_LIMITS[Kind.STATUS])
        node.subscribe([self._filters[Kind.STATS]], retained=False, limit=_LIMITS[Kind.STATS])

    @property
    def is_deaf(self) -> bool:
        """Whether messages are left at the broker: nothing follows from the silence of others."""
        return bool(self._flooded)

    def receive(self, message: Received) -> bool:
        """Note a status or stats of another node, and return whether it was one (in the network's thread)."""
        # Of a name that is none, too: whatever the filters deliver counts.
        last = message.topic.rpartition("/")[2]
        if last not in self._filters:
            return False
        if not self._node.gates.may_pass(self._filters[Kind(last)], message.at):
            self._node.counts["flooded"] += 1
            return True
        try:
            name = topics.parse(message.topic).source
            with self._lock:
                self._note(Kind(last), name, message)
        except ValueError as error:
            self._node.refusals.add(message.topic, str(error))
        return True

    def _note(self, kind: Kind, name: str, message: Received) -> None:
        if kind is Kind.STATS:
            if not message.retained:
                decode_of_node(StatsMessage, name, message.payload)
                self._claimant.note_heard(name, message.at)
        elif not message.payload:
            self._claimant.forget(name)
        else:
            status = decode_of_node(StatusMessage, name, message.payload)
            self._claimant.note_status(status, retained=message.retained, now=message.at)

    def _note_flood(self, topic: str, *, is_flooded: bool) -> None:
        if topic not in self._filters.values():
            return
        with self._lock:
            (self._flooded.add if is_flooded else self._flooded.discard)(topic)
            self._claimant.note_connected(time.monotonic())
