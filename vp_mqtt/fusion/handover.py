"""Several bundles at one site, while its boards change from one to the next. Pure: the clock is passed in.

The *leading* bundle is the one with the largest share of its weight alive.
"""

from __future__ import annotations

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.family import Family

_MAX_FAMILIES = 3
# Any client can name a node.
_MAX_NODES = 4096

Place = tuple[bytes, int]
"""The short digest of a bundle, and the variant of it that a node runs."""


class Handover:
    """The families that a fusion node can fuse, the nodes that run them, and the family that leads."""

    def __init__(self, *, suspect_after: int) -> None:
        """Start without families.

        Args:
            suspect_after: frames in a row without a vote after which a variant is not waited for.
        """
        self._suspect_after = suspect_after
        self._families: dict[bytes, Family] = {}
        self._nodes: dict[str, Place] = {}
        self._leader: Family | None = None

    @property
    def leader(self) -> Family:
        """The family that leads, as of the last `update_leader`.

        Raises:
            LookupError: no family was added yet.
        """
        if self._leader is None:
            raise LookupError("no family to fuse")
        return self._leader

    def families(self) -> list[Family]:
        """Return the families that can be fused, oldest first."""
        return list(self._families.values())

    def most_variants(self) -> int:
        """Return how many variants the largest of the families has."""
        return max(len(family.weights) for family in self._families.values())

    def find(self, digest: bytes) -> Family | None:
        """Return the family with this short digest, None if there is none."""
        return self._families.get(digest)

    def elsewhere(self) -> dict[int, Manifest]:
        """Return the bundle of each variant whose node is online but does not run the leading bundle."""
        return {v: self._families[d].manifest for d, v in self._nodes.values() if d != self.leader.digest}

    def add(self, manifest: Manifest) -> Family | None:
        """Add a family; the first one leads.

        Returns:
            The family that was removed to make room: of those that do not lead, the one with the least weight alive.
        """
        family = Family(manifest, suspect_after=self._suspect_after)
        if family.digest in self._families:
            return None
        removed = None
        if len(self._families) >= _MAX_FAMILIES:
            candidates = [other for other in self._families.values() if other is not self._leader]
            removed = min(candidates, key=Family.expected_share)
            del self._families[removed.digest]
            self._nodes = {node: place for node, place in self._nodes.items() if place[0] != removed.digest}
        self._families[family.digest] = family
        if self._leader is None:
            self._leader = family
        return removed

    def set_node(self, node: str, place: Place | None, now: float, *, is_heard: bool = True) -> bool:
        """Note a variant node's status.

        Args:
            node: its name.
            place: the bundle and variant that it runs; None when it is gone, or runs a bundle that is not known.
            now: the time, on a monotonic clock, in s.
            is_heard: whether the node itself was heard, see `Liveness.set_node`.

        Returns:
            Whether a variant may have come or gone.
        """
        previous = self._nodes.pop(node, None)
        if place is not None:
            if len(self._nodes) < _MAX_NODES:
                self._nodes[node] = place
            digest, variant = place
            self._families[digest].liveness.set_node(node, variant, online=True, now=now, is_heard=is_heard)
        if previous is not None and (place is None or previous[0] != place[0]):
            digest, variant = previous
            self._families[digest].liveness.set_node(node, variant, online=False, now=now)
        return previous is not None or place is not None

    def suspect(self, variant: int) -> None:
        """Stop waiting for a variant, in every family, until a vote of it arrives in time."""
        for family in self._families.values():
            family.liveness.suspect(variant)

    def update_leader(self) -> bool:
        """Let the family with the most weight alive lead; of equal ones the present leader stays.

        Returns:
            Whether the leader changed.
        """
        leader = self.leader
        if len(self._families) == 1:
            return False
        # `max` keeps the first of equal ones.
        candidates = [leader, *(family for family in self._families.values() if family is not leader)]
        self._leader = max(candidates, key=Family.expected_share)
        return self._leader is not leader
