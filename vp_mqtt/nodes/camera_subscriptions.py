"""The subscriptions of a fusion node that has some of a site's cameras: to their announces and votes only."""

from __future__ import annotations

from collections.abc import Collection

from vp_mqtt.nodes.base import Node
from vp_mqtt.protocol.topics import ANY, Kind


class CameraSubscriptions:
    """Announces and votes of some cameras, or of all, without those that are left at the broker.

    Not to be used by several threads at once.
    """

    def __init__(self, node: Node, known: Collection[str]) -> None:
        """Subscribe to nothing yet.

        Args:
            node: which subscribes.
            known: the names of all cameras that are known, as they are at any time.
        """
        self._node = node
        self._known = known
        self._announced: Collection[str] | None = ()
        self._voted: Collection[str] | None = ()
        self._variants = 0
        self._blocked_cameras: set[str] = set()
        self._blocked_variants: set[str] = set()
        self._announces: set[str] = set()
        self._votes: set[str] = set()

    def set_cameras(self, announced: Collection[str] | None, voted: Collection[str] | None) -> None:
        """Have the announces and votes of these cameras delivered, and no others; None: of all cameras."""
        self._announced, self._voted = announced, voted
        self._update()

    def set_variants(self, count: int) -> None:
        """Have the votes of so many variants delivered."""
        self._variants = count
        self._update()

    def block(self, kind: Kind, name: str, *, is_blocked: bool) -> None:
        """Leave a camera's announces, or a variant's votes, at the broker, or no longer.

        With no name, it is all announces of cameras that are not known, or all votes on topics that name no variant.
        """
        blocked = self._blocked_variants if kind is Kind.VOTE else self._blocked_cameras
        (blocked.add if is_blocked else blocked.discard)(name)
        self._update()

    def _update(self) -> None:
        topics = self._node.topics
        if self._announced is None and not self._blocked_cameras:
            announces = {topics.announce(ANY)}
        else:
            cameras = self._known if self._announced is None else self._announced
            announces = {topics.announce(camera) for camera in cameras if camera not in self._blocked_cameras}
        open_variants = {str(variant) for variant in range(self._variants)} - self._blocked_variants
        voted = (ANY,) if self._voted is None else self._voted
        # One filter for all variants of a camera, unless one of them floods.
        variants = open_variants if self._blocked_variants else (ANY,)
        votes = {topics.vote(camera, variant) for camera in voted for variant in variants}
        # Votes on a frame come after its announce.
        self._votes = self._change(self._votes, votes, qos=0)
        self._announces = self._change(self._announces, announces, qos=1)

    def _change(self, before: set[str], after: set[str], *, qos: int) -> set[str]:
        if new := sorted(after - before):
            self._node.subscribe(new, qos=qos, retained=False, limit=None)
        for topic in sorted(before - after):
            self._node.session.unsubscribe(topic)
        return after
