"""When a site is described to Home Assistant, and what is said of its boards. Pure: the clock is passed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from vp_mqtt.integrations.home_assistant import (
    PRESENCE_EVERY_S,
    Validity,
    board_of,
    discovery,
    entities_of,
    parse_components,
)
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.protocol.presence import Presence, PresenceMessage
from vp_mqtt.protocol.topics import Topics

_RETRY_S = 1.0
# The broker is unlikely to take what it has refused before another camera or board is gone.
_REFUSED_RETRY_S = 60.0
_GATHER_S = 1.0
_MAX_ENTITIES = 256
_MAX_REMOVED = 256
_SETTLE_S = 3.0
# Home Assistant (2025.4) loses new components of a message that comes while those of the one before are still set up.
_GAP_S = 10.0


class Announcer:
    """Decides when the discovery message is due, and repeats what is heard of the boards.

    The first message waits until the broker has sent what it retains: the statuses of the nodes, and the site's former
    discovery message. What that one named and nobody names any more is removed from Home Assistant, if it is there to
    read the message: what is removed while it is stopped stays there, without its former states.
    """

    def __init__(self, site: str, fusion: str, validity: Validity, now: float) -> None:
        """Start with neither cameras nor boards.

        Args:
            site: the site's name.
            fusion: the fusion node's name.
            validity: how long labels and states are valid.
            now: on the caller's clock, in s.
        """
        self._site = site
        self._fusion = fusion
        self._validity = validity
        self._due: float | None = now + _SETTLE_S
        self._cameras: set[str] = set()
        self._camera_nodes: dict[str, tuple[str, ...]] = {}
        self._boards: dict[str, int | None] = {}
        self._former: dict[str, str] = {}
        self._former_boards: dict[str, str] = {}
        self._presences: dict[str, Presence | None] = {}
        self._announced_at = self._not_before = -math.inf
        self._repeat_at = now + PRESENCE_EVERY_S
        self._unsent: set[str] = set()
        self._has_warned = False

    def next_due(self) -> float:
        """Return when `messages_due` has something to say, on the caller's clock."""
        due = self._repeat_at if self._due is None else min(self._due, self._repeat_at)
        if self._unsent and self._announced_at > -math.inf:
            due = 0.0
        return max(due, self._not_before)

    def adopt(self, payload: bytes) -> None:
        """Note the site's discovery message as the broker has it: of a fusion node before us, or our own."""
        components = parse_components(self._site, payload)
        self._former |= {key: component.platform for key, component in components.items()}
        self._former_boards |= {key: one.board for key, one in components.items() if one.board is not None}

    def note_camera(self, camera: str, now: float) -> None:
        """Note a camera that announces frames."""
        if camera not in self._cameras and len(self._cameras) < _MAX_ENTITIES:
            self._cameras.add(camera)
            self._announce_from(now)

    def note_camera_node(self, node: str, cameras: Sequence[str], now: float, *, is_online: bool = True) -> None:
        """Note the status of a camera node: its cameras are there, even if they announce no frames now.

        Those that it named before are gone, but for one that is not online: its will says which it had at its start.
        """
        before = self._camera_nodes.get(node)
        if before is not None and not is_online:
            return
        if before is not None or len(self._camera_nodes) < _MAX_ENTITIES:
            self._camera_nodes[node] = tuple(cameras)
        self._leave_out(before or (), now)
        for camera in cameras:
            self.note_camera(camera, now)

    def forget_node(self, node: str, now: float) -> None:
        """Note that a node's status was cleared: it is gone for good, and so are cameras that no other node names."""
        if node in self._boards:
            del self._boards[node]
            self._presences[node] = None
            self._unsent.add(node)
            self._announce_from(now)
        self._leave_out(self._camera_nodes.pop(node, ()), now)

    def _leave_out(self, cameras: Sequence[str], now: float) -> None:
        """Leave out those of these cameras that no node names any more."""
        gone = {*cameras}.difference(*self._camera_nodes.values())
        if self._cameras & gone:
            self._cameras -= gone
            self._announce_from(now)

    def note_board(self, node: str, variant: int | None, now: float) -> None:
        """Note a variant node, and the variant that it runs; None for one that waits for a variant."""
        if node in self._boards:
            if self._boards[node] == variant:
                return
        elif len(self._boards) >= _MAX_ENTITIES:
            return
        self._boards[node] = variant
        self._announce_from(now)

    def note_presence(self, node: str, presence: Presence) -> None:
        """Note what is heard of a board."""
        if node in self._boards and self._presences.get(node) != presence:
            self._presences[node] = presence
            self._unsent.add(node)

    def note_presences(self, presences: Mapping[str, Presence]) -> None:
        """Note what is heard of boards, by their names."""
        for node, presence in presences.items():
            self.note_presence(node, presence)

    def note_birth(self, now: float, wait: float) -> None:
        """Note Home Assistant's birth message, which is answered after so many seconds."""
        self._due = max(self._due or 0.0, now + wait)
        self._repeat_at = min(self._repeat_at, now + wait)

    def note_connection(self, now: float) -> None:
        """Note a new connection: the broker may have forgotten everything, and sends what it retains first."""
        self._due = max(self._due or 0.0, now + _SETTLE_S, self._announced_at + _GAP_S)
        self._repeat_at = min(self._repeat_at, self._due)

    def _announce_from(self, now: float) -> None:
        """Announce a change: soon, together with those that follow at once, and not too soon after the last message."""
        if self._due is None:
            self._due = max(now + _GATHER_S, self._announced_at + _GAP_S)

    def messages_due(self, now: float) -> list[Outgoing]:
        """Return the messages that are due, once."""
        messages: list[Outgoing] = []
        if now < self._not_before:
            return messages
        if self._due is not None and now >= self._due:
            self._due = None
            self._announced_at = now
            messages.append(self._discovery())
        if now >= self._repeat_at:
            self._repeat_at = now + PRESENCE_EVERY_S
            self._unsent.update(board for board, presence in self._presences.items() if presence is not None)
        if self._announced_at > -math.inf:
            topics = Topics(self._site)
            messages += [self._presence(topics.presence(node), node) for node in sorted(self._unsent)]
            self._unsent.clear()
        return messages

    def _discovery(self) -> Outgoing:
        entities = entities_of(self._site, self._cameras, self._boards, self._validity)
        current = {str(entity["unique_id"]): str(entity["platform"]) for entity in entities}
        removed = {key: platform for key, platform in self._former.items() if key not in current}
        removed = dict(list(removed.items())[-_MAX_REMOVED:])
        self._former = removed | current
        for board in {self._former_boards[key] for key in removed if key in self._former_boards} - self._boards.keys():
            # Its presence is still at the broker.
            self._presences[board] = None
            self._unsent.add(board)
        self._former_boards.clear()
        return discovery(self._site, self._fusion, entities, removed)

    def _presence(self, topic: str, node: str) -> Outgoing:
        presence = self._presences[node]
        if presence is None:
            return Outgoing(topic, b"", qos=1, retain=True)
        payload = PresenceMessage(presence=presence, node=node).encode()
        return Outgoing(topic, payload, qos=1, retain=True, content_type="application/json")

    def publish_due(
        self, now: float, publish: Callable[[Outgoing], object], *, is_connected: Callable[[], bool]
    ) -> None:
        """Publish what is due.

        Args:
            now: on the caller's clock, in s.
            publish: returns None if there is no connection; then the message is due again in a second. Also if the
                broker does not accept a packet of this size; then it is due again in a minute.
            is_connected: whether there is a connection.
        """
        for message in self.messages_due(now):
            board, is_sent = board_of(self._site, message.topic), publish(message) is not None
            if board is not None and not is_sent:
                self._unsent.add(board)
                self._not_before = now + _RETRY_S
            elif board is not None:
                self._note_said(board)
            elif is_sent:
                self._has_warned = False
            elif is_connected():
                self._note_refused(message, now)
            else:
                self._due = now + _RETRY_S

    def _note_said(self, board: str) -> None:
        """Note that a board's presence was published; if it was cleared, that was the last word."""
        if self._presences[board] is None:
            del self._presences[board]

    def _note_refused(self, message: Outgoing, now: float) -> None:
        self._due = now + _REFUSED_RETRY_S
        if self._has_warned:
            return
        self._has_warned = True
        LOGGER.warning(
            "Home Assistant does not hear of %d cameras and %d boards: the broker does not accept a message of %d "
            "bytes; raise its limit for packets, or clear the statuses of nodes that are gone for good",
            *(len(self._cameras), len(self._boards), message.packet_bytes()),
        )
