"""The fusion node's messages: checked, and passed on to the windows."""

from __future__ import annotations

from vp_mqtt.bundle.manifest import MAX_CLASSES
from vp_mqtt.fusion.handover import Handover, Place
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.integrations.home_assistant import Announcer
from vp_mqtt.logs import Refusals
from vp_mqtt.nodes.fusion_inbox import MessageArrived
from vp_mqtt.protocol import votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, MessageError, State, StatusMessage
from vp_mqtt.protocol.topics import Kind

_MAX_PENDING = 256


class FusionMessages:
    """Handles announces, votes and statuses. Methods return the results that are due after the message."""

    def __init__(self, windows: Windows, handover: Handover, refusals: Refusals, home: Announcer | None) -> None:
        """Start without messages.

        Args:
            windows: what announces, votes and statuses are passed on to.
            handover: the families whose votes can be fused.
            refusals: where invalid messages are counted.
            home: announces cameras and boards to Home Assistant; None if that is not asked for.
        """
        self._windows = windows
        self._handover = handover
        self._refusals = refusals
        self._home = home
        # The newest status of nodes whose bundle is not known, or not yet.
        self._pending: dict[str, MessageArrived] = {}

    def handle(self, event: MessageArrived, now: float) -> list[WindowResult]:
        """Handle a message; an invalid one is counted and dropped."""
        try:
            match event.topic.kind:
                case Kind.ANNOUNCE:
                    return self._announce(event, now)
                case Kind.VOTE:
                    return self._vote(event, now)
                case Kind.STATUS:
                    return self._status(event, now)
        except ValueError as error:
            self._refusals.add(event.message.topic, str(error))
        return []

    def handle_pending(self, now: float) -> list[WindowResult]:
        """Handle the statuses again that named an unknown bundle, now that a further one is known."""
        pending, self._pending = self._pending, {}
        return [result for event in pending.values() for result in self.handle(event, now)]

    def _announce(self, event: MessageArrived, now: float) -> list[WindowResult]:
        announce = AnnounceMessage.decode(event.message.payload).announce()
        if self._home is not None:
            self._home.note_camera(event.topic.source, now)
        return self._windows.announce(event.topic.source, announce, now)

    def _vote(self, event: MessageArrived, now: float) -> list[WindowResult]:
        topic, payload = event.topic, event.message.payload
        frame = FrameId.decode(event.message.correlation)
        family = self._handover.find(votes.digest_of(payload))
        if family is None:
            votes.decode(payload, MAX_CLASSES)
            raise votes.VoteError("vote from another bundle")
        if topic.variant is None or topic.variant >= len(family.weights):
            raise votes.VoteError("no such variant")
        vote = votes.decode(payload, family.classes)
        return self._windows.vote(topic.source, frame, topic.variant, vote, now, arrived=event.message.at)

    def _status(self, event: MessageArrived, now: float) -> list[WindowResult]:
        node = event.topic.source
        self._pending.pop(node, None)
        if not event.message.payload:
            # The retained status was cleared: the node is gone for good.
            if self._home is not None:
                self._home.note_board(node, None, now)
            return self._windows.set_node(node, None, now, arrived=event.message.at)
        status = StatusMessage.decode(event.message.payload)
        if status.node != node:
            raise MessageError("status of another node")
        if status.variant is None:
            return []
        if self._home is not None:
            self._home.note_board(node, status.variant, now)
        place = self._place(event, status, status.variant) if status.state is State.ONLINE else None
        return self._windows.set_node(node, place, now, arrived=event.message.at)

    def _place(self, event: MessageArrived, status: StatusMessage, variant: int) -> Place | None:
        """Return the bundle and variant that a node runs; None for a bundle that is not known (yet).

        Raises:
            MessageError: the bundle has no such variant.
        """
        family = self._handover.find(bytes.fromhex(status.digest or ""))
        if family is None:
            self._refusals.add(status.node, "variant of another bundle")
            if len(self._pending) < _MAX_PENDING:
                self._pending[status.node] = event
            return None
        if variant >= len(family.weights):
            raise MessageError("no such variant")
        return family.digest, variant
