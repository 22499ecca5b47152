"""The frames of a board that shares those of its variant with other boards, by a shared subscription (MQTT 5, 4.8.2).

The broker deals the frames to the boards of a group in turn, however fast they are. A board on which a further frame
would have to wait for too long leaves the group until it has caught up: the broker deals to the others meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.frame_gate import FrameGate
from vp_mqtt.nodes.status import NodeStatus

LONGEST_WAIT_S = 0.1
"""A frame that waits for longer than this is likely to get its vote after the deadline (0.25 s by default)."""
_WEIGHT = 0.2


class ReplicaPace:
    """Whether a board keeps up with the frames that it is dealt. Pure."""

    def __init__(self) -> None:
        """Start without an idea of how long a frame takes."""
        self._mean_s = 0.0

    def note_work(self, seconds: float) -> None:
        """Note how long a frame has taken, in s."""
        self._mean_s += (seconds - self._mean_s) * (_WEIGHT if self._mean_s else 1.0)

    def is_behind(self, waiting: int) -> bool:
        """Return whether a further frame would wait for too long behind so many, the one at work included."""
        return waiting * self._mean_s > LONGEST_WAIT_S


class ReplicaGate(FrameGate):
    """As `FrameGate`, for a member of a group: it leaves the group while it is behind."""

    def __init__(
        self, node: Node, *, variant: int | None, cameras: Collection[str] | None, waiting: Callable[[], int]
    ) -> None:
        """Subscribe as a member of the variant's group, and say so in the status.

        Args:
            node: which subscribes.
            variant: the variant that the group runs.
            cameras: the only ones whose frames are of interest, the same for all members; None for all.
            waiting: returns how many frames wait, without the one at work.

        Raises:
            UserError: the node has no variant of its own.
        """
        if variant is None:
            raise UserError("--replica: name the --variant that the boards of the group run; not auto")
        super().__init__(node, cameras=cameras, topic=lambda camera: node.topics.shared_frame(camera, variant))
        self._node = node
        self._waiting = waiting
        self._pace = ReplicaPace()
        self._is_away = False
        self._turn = threading.Lock()
        node.change_status(NodeStatus.set_replica)

    def note_arrival(self) -> None:
        """Leave the group if a further frame would wait for too long."""
        self._update(is_at_work=self._node.work.is_stuck(0.0))

    def note_work(self, seconds: float) -> None:
        """Note how long a frame has taken, and come back to the group if the board has caught up."""
        self._pace.note_work(seconds)
        self._update(is_at_work=False)

    def _update(self, *, is_at_work: bool) -> None:
        with self._turn:
            is_away = self._pace.is_behind(self._waiting() + is_at_work)
            if is_away != self._is_away:
                self._is_away = is_away
                self._node.counts["left_group"] += is_away
                self.set_open(is_open=not is_away)


def new_gate(node: Node, settings: VariantSettings, waiting: Callable[[], int]) -> FrameGate:
    """Return what subscribes to the frames of a variant node.

    Args:
        node: the node.
        settings: of the node.
        waiting: returns how many frames wait, without the one at work.

    Raises:
        UserError: a node that chooses its variant cannot share frames.
    """
    if not settings.replica:
        return FrameGate(node, cameras=settings.cameras)
    variant = None if settings.variant == "auto" else settings.variant
    return ReplicaGate(node, variant=variant, cameras=settings.cameras, waiting=waiting)
