"""The fusion node's messages: checked, and passed on to the windows."""

from __future__ import annotations

from vp_mqtt.bundle.manifest import MAX_CLASSES
from vp_mqtt.fusion.handover import Handover, Place
from vp_mqtt.fusion.known_nodes import VARIANT, KnownNode, KnownNodes
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.integrations.announcer import Announcer
from vp_mqtt.logs import Refusals
from vp_mqtt.nodes.fusion_inbox import MessageArrived
from vp_mqtt.nodes.sharing import Sharing
from vp_mqtt.nodes.site_notices import FUSION, SiteNotices
from vp_mqtt.protocol import votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import AnnounceMessage, MessageError, State, StatusMessage, decode_of_node
from vp_mqtt.protocol.presence import Presence
from vp_mqtt.protocol.topics import Kind

_MAX_PENDING = 256


class FusionMessages:
    """Handles announces, votes, statuses and stats. Methods return the results that are due after the message.

    Attributes:
        nodes: the nodes that have sent a status.
    """

    def __init__(
        self,
        windows: Windows,
        handover: Handover,
        refusals: Refusals,
        home: Announcer | None,
        sharing: Sharing | None = None,
    ) -> None:
        """Start without messages.

        Args:
            windows: what announces, votes and statuses are passed on to.
            handover: the families whose votes can be fused.
            refusals: where invalid messages are counted.
            home: announces cameras and boards to Home Assistant; None if that is not asked for.
            sharing: which cameras are the node's; None if all are.
        """
        self.nodes = KnownNodes()
        self._windows = windows
        self._handover = handover
        self._refusals = refusals
        self._home = home
        self._sharing = sharing
        # The newest status of nodes whose bundle is not known, or not yet.
        self._pending: dict[str, MessageArrived] = {}
        self._notices = SiteNotices(self.nodes, shares=sharing is not None)
        self._voted: dict[Place | None, float] = {}

    def handle(self, event: MessageArrived, now: float) -> list[WindowResult]:
        """Handle a message; an invalid one is counted and dropped."""
        try:
            match event.topic.kind:
                case Kind.VOTE:
                    return self._vote(event, now)
                case Kind.ANNOUNCE:
                    return self._announce(event, now)
                case Kind.STATUS:
                    return self._status(event, now)
                case Kind.STATS:
                    return self._stats(event, now)
        except ValueError as error:
            self._refusals.add(event.message.topic, str(error))
        return []

    def handle_pending(self, now: float) -> list[WindowResult]:
        """Handle the statuses again that named an unknown bundle, now that a further one is known."""
        pending, self._pending = self._pending, {}
        return [result for event in pending.values() for result in self.handle(event, now)]

    def knows_camera(self, name: str) -> bool:
        """Return whether frames of this camera were announced, or it is one of those that alone may announce any."""
        return name in self._windows.cameras or self._windows.cameras.is_given(name)

    def may_announce(self, name: str) -> bool:
        """Return whether frames of a camera of this name can have labels."""
        return self._windows.cameras.may_announce(name)

    def knows_node(self, name: str) -> bool:
        """Return whether a status of this node has come."""
        return name in self.nodes

    def note_connection(self, now: float) -> None:
        """Note a new connection: until now nothing could be heard, and the broker may have forgotten everything."""
        self.nodes.note_deaf(now)
        if self._home is not None:
            self._home.note_connection(now)

    def tick(self, now: float) -> list[WindowResult]:
        """Stop waiting for the nodes that have fallen silent; to be called about once a second."""
        self._notices.note_overdue(self._windows.counts, self._windows.deadline)
        self._notices.note_choice(self._handover.leader, now)
        if self._sharing is not None:
            self._sharing.tick(now)
        results = []
        for name, node in self.nodes.silent(now):
            # A vote is a sign of life, too, unless another board with this variant may have sent it.
            if node.place is not None and len(self.nodes.in_place(node.place)) == 1:
                node.presence.note_heard(max(self._voted.get(node.place, 0.0), node.presence.heard_at or 0.0))
            if node.presence.at(now) is Presence.SILENT:
                node.is_counted = False
                results += self._windows.set_node(name, None, now)
        if self._home is not None:
            self._home.note_presences(self.nodes.presences(VARIANT, now))
        return results

    def _announce(self, event: MessageArrived, now: float) -> list[WindowResult]:
        camera = event.topic.source
        if self._sharing is not None and not self._sharing.owns(camera, now):
            self._windows.counts["others_frames"] += 1
            return []
        results = self._windows.announce(camera, AnnounceMessage.decode(event.message.payload).announce(), now)
        if self._home is not None and camera in self._windows.cameras:
            self._home.note_camera(camera, now)
        return results

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
        self._voted[family.digest, topic.variant] = now
        if topic.variant in family.replicated:
            self._notices.note_vote((family.digest, topic.variant), topic.source, frame)
        return self._windows.vote(topic.source, frame, topic.variant, vote, now, arrived=event.message.at)

    def _status(self, event: MessageArrived, now: float) -> list[WindowResult]:
        name = event.topic.source
        self._pending.pop(name, None)
        if not event.message.payload:
            return self._forget_node(name, event, now)
        status = decode_of_node(StatusMessage, name, event.message.payload)
        if self._sharing is not None:
            self._sharing.note_status(status, retained=event.message.retained, now=event.message.at)
        if self._home is not None and status.role == "camera" and status.camera is not None:
            cameras = [camera for camera in status.regions or (status.camera,) if self.may_announce(camera)]
            self._home.note_camera_node(name, cameras, now, is_online=status.state is State.ONLINE)
        known = self.nodes.find(name)
        if status.variant is None and known is None and status.role not in {VARIANT, FUSION}:
            self.nodes.note_other(name)
            return []
        is_online = status.state is State.ONLINE
        if status.variant is None and known is not None and not is_online:
            # The will is from before it chose.
            status = status.model_copy(update={"variant": known.presence.status.variant})
        node = self.nodes.note_status(status, retained=event.message.retained, now=now)
        if node is None:
            self._refusals.add("nodes that are not known yet", "too many nodes")
            return []
        if status.variant is None and status.role == FUSION:
            self._notices.note_fusion_node(status, now)
            return []
        if self._home is not None:
            self._home.note_board(name, status.variant, now)
            self._home.note_presence(name, node.presence.at(now))
        self.nodes.set_place(name, self._place(event, status) if is_online else None)
        self._notices.note_variant(node.place)
        return self._count(name, node, now, arrived=event.message.at)

    def _forget_node(self, name: str, event: MessageArrived, now: float) -> list[WindowResult]:
        """Forget a node whose retained status was cleared: it is gone for good."""
        if self._home is not None:
            self._home.forget_node(name, now)
        if self._sharing is not None:
            self._sharing.forget(name, now)
        self.nodes.forget(name)
        return self._windows.set_node(name, None, now, arrived=event.message.at)

    def _stats(self, event: MessageArrived, now: float) -> list[WindowResult]:
        if self._sharing is not None:
            self._sharing.note_stats(event.topic.source, event.message)
        node = self.nodes.find(event.topic.source)
        if node is None or event.message.retained:
            return []
        was_heard = node.is_counted and node.presence.heard_at is not None
        node.presence.note_heard(now)
        self._notices.note_fusion_node(node.presence.status, now)
        return [] if was_heard or node.place is None else self._count(event.topic.source, node, now)

    def _count(self, name: str, node: KnownNode, now: float, arrived: float | None = None) -> list[WindowResult]:
        """Wait for the variant of a node that is online, or no longer for that of one that is not."""
        place = node.place
        if place is not None:
            if (family := self._handover.find(place[0])) is not None:
                (family.replicated.add if node.presence.status.is_replica else family.replicated.discard)(place[1])
            else:
                # Its bundle has made room for another one meanwhile.
                place = None
        node.is_counted = place is not None
        is_heard = node.presence.is_heard(now)
        return self._windows.set_node(name, place, now, arrived=arrived, is_heard=is_heard)

    def _place(self, event: MessageArrived, status: StatusMessage) -> Place | None:
        """Return the bundle and variant that a node runs; None without one, or for a bundle that is not known (yet).

        Raises:
            MessageError: the bundle has no such variant.
        """
        if status.variant is None:
            return None
        family = self._handover.find(bytes.fromhex(status.digest or ""))
        if family is None:
            self._refusals.add(status.node, "variant of another bundle")
            if len(self._pending) < _MAX_PENDING:
                self._pending[status.node] = event
            return None
        if status.variant >= len(family.weights):
            raise MessageError("no such variant")
        return family.digest, status.variant
