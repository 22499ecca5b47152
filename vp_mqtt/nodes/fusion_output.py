"""What the fusion node publishes of the cameras: a label for every frame, and the states."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from vp_mqtt.config.live_settings import live_fusion_settings
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.fusion.camera_states import CameraStates
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.fusion.label import Label, make_label
from vp_mqtt.fusion.state import StateRules
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.integrations.home_assistant import Validity
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.nodes.base import SETTINGS_LIMIT, Node
from vp_mqtt.nodes.fusion_inbox import MessageArrived
from vp_mqtt.protocol.messages import MessageError, StateMessage
from vp_mqtt.protocol.topics import ANY, Kind

_RESTORED_WITHIN_S = 5.0
_NEVER_KNOWN = 500
_JSON = "application/json"


def state_rules(settings: FusionSettings) -> StateRules:
    """Return when states change, as settings say."""
    return StateRules(
        labels=settings.state_labels,
        window=settings.state_window,
        hysteresis=settings.state_hysteresis,
        dwell=settings.state_dwell,
        timeout=settings.state_timeout,
    )


class FusionOutput:
    """Publishes the labels and states of all cameras.

    Attributes:
        is_ours: returns whether a camera's state is this node's to publish at a time.
    """

    def __init__(self, settings: FusionSettings, node: Node, handover: Handover) -> None:
        """Have the broker send the states and the settings that it has kept.

        Args:
            settings: of the fusion node.
            node: which publishes.
            handover: the families whose classes a state can name.
        """
        self._node = node
        self._handover = handover
        self._valid_for = settings.valid_for
        self._unknown = settings.unknown
        self._states: CameraStates | None = None
        self._connections = 0
        # Unknown labels so far; None once one was known, or it has been said.
        self._never_known: int | None = 0
        self._restored_until: float | None = None
        self._live = live_fusion_settings(settings)
        node.subscribe([node.topics.fusion_settings()], qos=1, limit=SETTINGS_LIMIT)
        self._say_settings()
        self._owner = node.name if settings.shard else None
        # Of cameras that this node has got from another one: until when their kept states may come.
        self._taken: dict[str, float] = {}
        self.is_ours: Callable[[str, float], bool] = lambda _camera, _now: True
        if settings.state:
            self._states = CameraStates(state_rules(settings), every=settings.state_every)
            node.subscribe([node.topics.state(ANY)], qos=1, limit=None)

    @property
    def validity(self) -> Validity:
        """How long labels and states are valid."""
        return Validity(self._valid_for, None if self._states is None else self._states.valid_for_s)

    def handle(self, event: MessageArrived) -> None:
        """Note a state that the broker had kept, or take the site's settings; invalid ones are counted and dropped."""
        try:
            if event.topic.kind is Kind.FUSION_SETTINGS:
                self._take_settings(event.message.payload)
            else:
                self._restore(event)
        except MessageError as error:
            self._node.refusals.add(event.message.topic, str(error))

    def publish(self, results: Iterable[WindowResult], now: float) -> None:
        """Publish the labels of these results, and the states that are due.

        Args:
            results: in the order of their labels.
            now: on the monotonic clock, in s.
        """
        labels = [(one, self._label(one)) for one in results]
        if labels:
            self._publish_labels(labels)
        if self._states is not None:
            wall = time.time()
            for result, label in labels:
                if self.is_ours(result.camera, now):
                    self._states.note(result, label, now, wall)
            self._note_connection(self._states, now)
            for state in self._states.messages_due(now, wall):
                self._publish_state(state)

    def take(self, cameras: Collection[str], now: float) -> None:
        """Have the broker send the states that other fusion nodes have published of these cameras."""
        if self._states is None or not cameras:
            return
        self._node.subscribe([self._node.topics.state(camera) for camera in sorted(cameras)], qos=1, limit=None)
        self._taken |= dict.fromkeys(cameras, now + _RESTORED_WITHIN_S)

    def release(self, cameras: Iterable[str]) -> None:
        """Say nothing of these cameras any more: other fusion nodes do."""
        if self._states is not None:
            for camera in cameras:
                self._states.forget(camera)

    def next_due(self) -> float | None:
        """Return when a state may be due, on the monotonic clock; None without states."""
        return None if self._states is None else self._states.next_due()

    def _restore(self, event: MessageArrived) -> None:
        if self._states is None:
            return
        classes = {name for family in self._handover.families() for name in family.manifest.classes}
        self._states.restore(event.topic.source, event.message.payload, classes, time.time())

    def _take_settings(self, payload: bytes) -> None:
        try:
            if self._live.take(payload):
                settings = self._live.now
                self._unknown = settings.unknown
                if self._states is not None:
                    self._states.set_rules(state_rules(settings))
                LOGGER.info("other settings: %s", self._live.in_force.model_dump_json(exclude_none=True))
        finally:
            self._say_settings()

    def _say_settings(self) -> None:
        in_force = self._live.in_force
        self._node.change_status(lambda status: status.set_settings(in_force))

    def _note_connection(self, states: CameraStates, now: float) -> None:
        if self._node.is_connected and self._connections != self._node.session.connections:
            # What was published meanwhile is lost, and a broker that has restarted may have forgotten the rest.
            if self._connections == 0:
                self._restored_until = now + _RESTORED_WITHIN_S
            self._connections = self._node.session.connections
            states.repeat(now)
        elif self._restored_until is not None and now > self._restored_until:
            # What comes now are our own messages.
            self._restored_until = None
            self._node.session.unsubscribe(self._node.topics.state(ANY))
        for camera in [camera for camera, until in self._taken.items() if now > until]:
            del self._taken[camera]
            self._node.session.unsubscribe(self._node.topics.state(camera))

    def _label(self, result: WindowResult) -> Label:
        return make_label(result, valid_for_s=self._valid_for, unknown=self._unknown, owner=self._owner)

    def _publish_labels(self, labels: Sequence[tuple[WindowResult, Label]]) -> None:
        sent = self._node.session.publish_together([self._message(result, label) for result, label in labels])
        counts = self._node.counts
        counts["labels"] += sent
        if sent < len(labels):
            counts["labels_unsent"] += len(labels) - sent
        for result, label in labels:
            self._node.stats.agreement.note(result)
            self._node.latencies.add(label.latency_ms)
            counts["labels_without_votes"] += not label.voted
            counts["labels_unknown"] += label.known is False
            self._note_known(label)

    def _message(self, result: WindowResult, label: Label) -> Outgoing:
        return Outgoing(
            self._node.topics.label(result.camera),
            label.encode(),
            correlation=result.announce.frame.encode(),
            content_type=_JSON,
            expiry_s=math.ceil(label.valid_for_s),
        )

    def _note_known(self, label: Label) -> None:
        """Say so, once, if nothing was known on the first frames of all cameras: an empty scene, or a wrong family."""
        if label.known is None or self._never_known is None:
            return
        self._never_known = None if label.known else self._never_known + 1
        if self._never_known == _NEVER_KNOWN:
            self._never_known = None
            LOGGER.info(
                "none of the first %d frames shows anything that '%s' knows: if something of its classes was before a "
                "camera, train a family on that camera's pictures",
                _NEVER_KNOWN,
                label.bundle,
            )

    def _publish_state(self, state: StateMessage) -> None:
        topic = self._node.topics.state(state.camera)
        expiry = math.ceil(state.valid_for_s)
        sent = self._node.publish(
            Outgoing(topic, state.encode(), qos=1, retain=True, content_type=_JSON, expiry_s=expiry)
        )
        self._node.counts["states" if sent else "states_unsent"] += 1
