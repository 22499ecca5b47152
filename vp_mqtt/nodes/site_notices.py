"""The fusion node's log lines about nodes that should not be there twice, and about better choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet

from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.handover import Place
from vp_mqtt.fusion.known_nodes import KnownNodes
from vp_mqtt.fusion.repeated_votes import RepeatedVotes
from vp_mqtt.fusion.variant_choice import VariantChoice
from vp_mqtt.logs import LOGGER
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import State, StatusMessage

FUSION = "fusion"
"""The role of fusion nodes."""
_NAMED = 3
_ENOUGH_OVERDUE = 30


class SiteNotices:
    """Says once what has come to be wrong, and again when it was right meanwhile."""

    def __init__(self, nodes: KnownNodes, *, shares: bool = False) -> None:
        """Start with nothing wrong.

        Args:
            nodes: the nodes that have sent a status.
            shares: whether this node shares the cameras with other fusion nodes.
        """
        self._shares = shares
        self._nodes = nodes
        self._other_fusion_nodes: set[str] = set()
        self._doubles: set[Place] = set()
        self._choice = VariantChoice()
        self._repeated = RepeatedVotes()
        self._has_warned = False

    def note_fusion_node(self, status: StatusMessage, now: float) -> None:
        """Say so when another fusion node is alive."""
        node = self._nodes.find(status.node)
        if status.role != FUSION or node is None or (self._shares and status.shard is not None):
            return
        if not node.presence.is_heard(now):
            if status.state is not State.ONLINE:
                self._other_fusion_nodes.discard(status.node)
        elif status.node not in self._other_fusion_nodes:
            self._other_fusion_nodes.add(status.node)
            LOGGER.warning(
                "another fusion node, '%s' on %s, runs on this site: every frame gets two labels; stop one of them, or "
                "start %s with --shard",
                *(status.node, status.host, self._without_shard(status)),
            )

    def _without_shard(self, other: StatusMessage) -> str:
        if other.shard is not None:
            return "this one, too,"
        return "that one, too," if self._shares else "both"

    def note_choice(self, family: Family, now: float) -> None:
        """Say so, once, when fewer boards than variants run others than the strongest."""
        running = {variant for variant in range(len(family.weights)) if self._nodes.in_place((family.digest, variant))}
        chosen = {variant for variant in running if self._is_chosen((family.digest, variant))}
        found = self._choice.note(family.manifest, running, now, chosen)
        if found is not None:
            LOGGER.info("%s", found)

    def _is_chosen(self, place: Place) -> bool:
        nodes = map(self._nodes.find, self._nodes.in_place(place))
        return all(node is not None and node.presence.status.claim is not None for node in nodes)

    def note_overdue(self, counts: Counter[str], deadline: float) -> None:
        """Say so, once, when most of the votes come after the deadline, in s."""
        if not self._has_warned and counts["overdue"] >= max(_ENOUGH_OVERDUE, counts["votes"]):
            self._has_warned = True
            LOGGER.warning(
                "most votes come after the deadline of %g ms: raise --deadline-ms, or use faster variants or boards",
                deadline * 1000,
            )

    def note_variant(self, place: Place | None) -> None:
        """Say so when several boards run this variant."""
        if place is None:
            return
        names = self._nodes.in_place(place)
        alone = self._without_flag(place)
        if len(names) <= 1 or not alone:
            self._doubles.discard(place)
        elif place not in self._doubles:
            self._doubles.add(place)
            LOGGER.info(
                "variant %d runs on several boards: %s; the first vote counts; --replica shares frames%s",
                place[1],
                _some(names),
                f", but not those of {_some(alone)}, without the flag" if len(alone) < len(names) else "",
            )

    def note_vote(self, place: Place, camera: str, frame: FrameId) -> None:
        """Say so, once, when boards that should share a variant's frames work on the same ones."""
        names = self._nodes.in_place(place)
        if len(names) > 1 and self._repeated.note(place, names, camera, frame) and not self._without_flag(place):
            LOGGER.warning(
                "several of the boards that share the frames of variant %d work on the same ones: give all of them the "
                "same --cameras, or none: %s",
                *(place[1], _some(names)),
            )

    def _without_flag(self, place: Place) -> set[str]:
        """Return the names of the nodes that run this variant and do not share its frames."""
        nodes = {name: self._nodes.find(name) for name in self._nodes.in_place(place)}
        return {name for name, node in nodes.items() if node is None or not node.presence.status.is_replica}


def _some(names: AbstractSet[str]) -> str:
    """Return the names of a few nodes, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(sorted(names)[:_NAMED]) + (f" and {more} more" if more > 0 else "")
