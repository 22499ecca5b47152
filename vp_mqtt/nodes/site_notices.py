"""The fusion node's log lines about nodes that should not be there twice."""

from __future__ import annotations

from vp_mqtt.fusion.handover import Place
from vp_mqtt.fusion.known_nodes import KnownNodes
from vp_mqtt.logs import LOGGER
from vp_mqtt.protocol.messages import State, StatusMessage

FUSION = "fusion"
"""The role of fusion nodes."""
_NAMED = 3


class SiteNotices:
    """Says once what has come to be wrong, and again when it was right meanwhile."""

    def __init__(self, nodes: KnownNodes) -> None:
        """Start with nothing wrong.

        Args:
            nodes: the nodes that have sent a status.
        """
        self._nodes = nodes
        self._other_fusion_nodes: set[str] = set()
        self._doubles: set[Place] = set()

    def note_fusion_node(self, status: StatusMessage, now: float) -> None:
        """Say so when another fusion node is alive."""
        node = self._nodes.find(status.node)
        if status.role != FUSION or node is None:
            return
        if not node.presence.is_heard(now):
            if status.state is not State.ONLINE:
                self._other_fusion_nodes.discard(status.node)
        elif status.node not in self._other_fusion_nodes:
            self._other_fusion_nodes.add(status.node)
            LOGGER.warning(
                "another fusion node, '%s' on %s, runs on this site: every frame gets two labels; stop one of them",
                *(status.node, status.host),
            )

    def note_variant(self, place: Place | None) -> None:
        """Say so when several boards run this variant."""
        if place is None:
            return
        names = self._nodes.in_place(place)
        if len(names) <= 1:
            self._doubles.discard(place)
        elif place not in self._doubles:
            self._doubles.add(place)
            LOGGER.info(
                "variant %d runs on several boards: %s; the first vote counts", place[1], ", ".join(sorted(names)[:3])
            )
