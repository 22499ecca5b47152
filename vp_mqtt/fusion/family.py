"""A family as the fusion node sees it. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.fusion.liveness import Liveness
from vp_mqtt.protocol.votes import Vote


class Family:
    """A family whose votes can be fused.

    Attributes:
        manifest: its bundle's manifest.
        digest: the bundle's short digest, which votes name.
        weights: of each variant's vote, by index, each greater than 0.
        classes: how many classes it knows.
        liveness: which of its variants are alive.
        replicated: the variants whose frames several nodes share.
    """

    def __init__(self, manifest: Manifest, *, suspect_after: int) -> None:
        """Start with no variant alive.

        Args:
            manifest: its bundle's manifest.
            suspect_after: frames in a row without a vote after which a variant is not waited for.
        """
        self.manifest = manifest
        self.digest = manifest.short_digest
        self.weights = [variant.weight for variant in manifest.variants]
        self.classes = len(manifest.classes)
        self._total_weight = sum(self.weights)
        self.replicated: set[int] = set()
        self.liveness = Liveness(suspect_after=suspect_after)

    def check(self, variant: int, vote: Vote) -> None:
        """Check a vote.

        Raises:
            IndexError: the variant, or a class in the vote, is not one of the family's.
        """
        if variant >= len(self.weights) or max(vote.classes) >= self.classes:
            raise IndexError("no such variant or class")

    def share(self, variants: AbstractSet[int]) -> float:
        """Return the share of the family's weight that these variants have, 0..1."""
        return sum(self.weights[v] for v in variants) / self._total_weight

    def expected_share(self) -> float:
        """Return the share of the family's weight that the variants have that are, or may be, alive, 0..1."""
        return self.share(self.liveness.expected())
