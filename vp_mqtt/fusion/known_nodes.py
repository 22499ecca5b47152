"""The nodes that the fusion node knows: of variant and fusion nodes statuses, and when they were last heard. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from vp_mqtt.fusion.handover import Place
from vp_mqtt.protocol.messages import StatusMessage
from vp_mqtt.protocol.presence import NodePresence, Presence

VARIANT = "variant"
"""The role of variant nodes, also of those that wait for a variant."""
# Any client can name a node.
_MAX_NODES = 512
_MAX_OTHERS = 1024
_LOOK_FOR_ROOM_S = 1.0


@dataclass(slots=True)
class KnownNode:
    """A node.

    Attributes:
        presence: its newest status, and when it was heard.
        place: the bundle and variant that it runs, where it is a variant node and the bundle is known.
        is_counted: whether its variant is waited for because of it.
    """

    presence: NodePresence
    place: Place | None = None
    is_counted: bool = False


class KnownNodes:
    """The nodes that have sent a status, in a bounded number; the first keep their place while they live.

    Of nodes that neither vote nor fuse, such as cameras, only the names are known.
    """

    def __init__(self) -> None:
        """Start without nodes."""
        self._nodes: dict[str, KnownNode] = {}
        self._others: dict[str, None] = {}
        self._in_place: dict[Place, set[str]] = {}
        self._is_full_until = 0.0

    def __contains__(self, name: str) -> bool:
        return name in self._nodes or name in self._others

    def names(self) -> list[str]:
        """Return the names of all nodes; may be called from any thread."""
        return list(self._nodes | self._others)

    def find(self, name: str) -> KnownNode | None:
        """Return the node with this name, None if it is not known."""
        return self._nodes.get(name)

    def note_status(self, status: StatusMessage, *, retained: bool, now: float) -> KnownNode | None:
        """Note a status; return its node, or None if there is no place for a further one."""
        node = self._nodes.get(status.node)
        if node is not None:
            node.presence.note_status(status, retained=retained, now=now)
            return node
        if len(self._nodes) >= _MAX_NODES:
            if now < self._is_full_until:
                return None
            dead = next((name for name, n in self._nodes.items() if n.presence.at(now) is not Presence.ONLINE), None)
            if dead is None:
                self._is_full_until = now + _LOOK_FOR_ROOM_S
                return None
            self.forget(dead)
        node = self._nodes[status.node] = KnownNode(NodePresence(status, retained=retained, now=now))
        return node

    def note_other(self, name: str) -> None:
        """Note that a status of a node that neither votes nor fuses has come."""
        if len(self._others) < _MAX_OTHERS:
            self._others[name] = None

    def note_deaf(self, now: float) -> None:
        """Note that nothing could be heard until now."""
        for node in self._nodes.values():
            node.presence.note_deaf(now)

    def forget(self, name: str) -> None:
        """Forget a node whose status was cleared."""
        self._others.pop(name, None)
        if name in self._nodes:
            self.set_place(name, None)
            del self._nodes[name]

    def set_place(self, name: str, place: Place | None) -> None:
        """Note which variant a known node runs; None where it runs none, or is not online."""
        node = self._nodes[name]
        if node.place == place:
            return
        if node.place is not None:
            self._in_place[node.place].discard(name)
            if not self._in_place[node.place]:
                del self._in_place[node.place]
        if place is not None:
            self._in_place.setdefault(place, set()).add(name)
        node.place = place

    def silent(self, now: float) -> list[tuple[str, KnownNode]]:
        """Return the nodes that are waited for but have fallen silent, with their names."""
        return [
            (name, node)
            for name, node in self._nodes.items()
            if node.is_counted and node.presence.at(now) is Presence.SILENT
        ]

    def in_place(self, place: Place) -> AbstractSet[str]:
        """Return the names of the nodes that run this variant."""
        return self._in_place.get(place, set())

    def listened_to(self) -> set[str]:
        """Return the names of the nodes whose stats are listened to: variant and fusion nodes, and others that vote."""
        statuses = ((name, node.presence.status) for name, node in self._nodes.items())
        return {name for name, one in statuses if one.variant is not None or one.role in {VARIANT, "fusion"}}

    def presences(self, role: str, now: float) -> dict[str, Presence]:
        """Return the presence of the nodes of a role, by their names."""
        return {name: node.presence.at(now) for name, node in self._nodes.items() if node.presence.status.role == role}
