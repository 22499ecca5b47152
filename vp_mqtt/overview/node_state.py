"""A node and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vp_mqtt.overview.activity import NodeActivity
from vp_mqtt.protocol.messages import StatusMessage
from vp_mqtt.protocol.presence import Presence, Restart

_FEW_CAMERAS = 3
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node and its presence.

    Attributes:
        status: its newest status.
        presence: what is known of it.
        is_heard: whether it is online and something that the broker had not kept was heard of it.
        activity: what it does; None before its first stats.
        heard_at: when it was last heard, on the monotonic clock, in seconds; None if never.
        bundle_since: since when it has had its present bundle, as far as is known, on the same clock.
        restarts: its latest ones, oldest first.
    """

    status: StatusMessage
    presence: Presence
    is_heard: bool
    activity: NodeActivity | None = None
    heard_at: float | None = None
    bundle_since: float = 0.0
    restarts: tuple[Restart, ...] = ()

    @property
    def is_online(self) -> bool:
        """Whether it is online."""
        return self.presence is Presence.ONLINE

    def doubt(self, camera: str = "") -> int:
        """Return how doubtful it is that the node is what its status says, 0 to 2.

        Access rules let an account publish a status of its own name only, but not what is in it. So a node that is
        named as nodes of its role are, by a plan or by default, is believed before others.

        Args:
            camera: that a camera node says it has.
        """
        name, usual = self.status.node, "-".join(filter(None, (self.status.role, camera)))
        return 0 if name == usual[:_LONGEST_NAME] else 1 if name.startswith(f"{usual}-") else 2


def is_still(status: StatusMessage) -> bool:
    """Return whether a camera node publishes heartbeats only: nothing moves before any of its cameras."""
    return status.still is not None and set(status.still) >= set(status.regions or (status.camera,))


def note_of(node: NodeState) -> str:
    """Return what else there is to say of a node that is online, such as which cameras or variant it has."""
    status = node.status
    if not node.is_online:
        return ""
    if status.still:
        return "still" if is_still(status) else f"still: {', '.join(status.still)}"
    if status.owns is not None:
        return _listed(status.owns) or "no cameras"
    if status.is_replica or status.is_spare:
        return "replica" if status.is_replica else "spare"
    if status.claim is not None and status.variant is None:
        return f"takes variant {status.claim}"
    return ""


def _listed(cameras: Sequence[str]) -> str:
    """Return the names of a few cameras, or how many they are."""
    return ", ".join(cameras) if len(cameras) <= _FEW_CAMERAS else f"{len(cameras)} cameras"
