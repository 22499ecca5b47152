"""What the fusion node publishes of the cameras: a label for every frame, and the states."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.fusion.camera_states import CameraStates
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.fusion.label import label_message
from vp_mqtt.fusion.state import StateRules
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.integrations.home_assistant import Validity
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.fusion_inbox import MessageArrived
from vp_mqtt.protocol.messages import LabelMessage, MessageError, StateMessage
from vp_mqtt.protocol.topics import ANY

_RESTORED_WITHIN_S = 5.0
_JSON = "application/json"


class FusionOutput:
    """Publishes the labels and states of all cameras."""

    def __init__(self, settings: FusionSettings, node: Node, handover: Handover) -> None:
        """Have the broker send the states that it has kept.

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
        self._restored_until: float | None = None
        if settings.state:
            rules = StateRules(
                labels=settings.state_labels,
                window=settings.state_window,
                hysteresis=settings.state_hysteresis,
                dwell=settings.state_dwell,
                timeout=settings.state_timeout,
            )
            self._states = CameraStates(rules, every=settings.state_every)
            node.subscribe([node.topics.state(ANY)], qos=1)

    @property
    def validity(self) -> Validity:
        """How long labels and states are valid."""
        return Validity(self._valid_for, None if self._states is None else self._states.valid_for_s)

    def restore(self, event: MessageArrived) -> None:
        """Note a state that the broker had kept; an invalid one is counted and dropped."""
        if self._states is None:
            return
        classes = {name for family in self._handover.families() for name in family.manifest.classes}
        try:
            self._states.restore(event.topic.source, event.message.payload, classes, time.time())
        except MessageError as error:
            self._node.refusals.add(event.message.topic, str(error))

    def publish(self, results: Iterable[WindowResult], now: float) -> None:
        """Publish the labels of these results, and the states that are due.

        Args:
            results: in the order of their labels.
            now: on the monotonic clock, in s.
        """
        for result in results:
            label = label_message(result, valid_for_s=self._valid_for, unknown=self._unknown)
            self._publish_label(result, label)
            if self._states is not None:
                self._states.note(result, label, now, time.time())
        if self._states is not None:
            self._note_connection(self._states, now)
            for state in self._states.messages_due(now, time.time()):
                self._publish_state(state)

    def next_due(self) -> float | None:
        """Return when a state may be due, on the monotonic clock; None without states."""
        return None if self._states is None else self._states.next_due()

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

    def _publish_label(self, result: WindowResult, label: LabelMessage) -> None:
        sent = self._node.publish(
            Outgoing(
                self._node.topics.label(result.camera),
                label.encode(),
                correlation=result.announce.frame.encode(),
                content_type=_JSON,
                expiry_s=math.ceil(label.valid_for_s),
            )
        )
        self._node.latencies.add(label.latency_ms)
        self._node.counts["labels" if sent else "labels_unsent"] += 1
        self._node.counts["labels_without_votes"] += result.winner is None
        self._node.counts["labels_unknown"] += label.known is False

    def _publish_state(self, state: StateMessage) -> None:
        topic = self._node.topics.state(state.camera)
        expiry = math.ceil(state.valid_for_s)
        sent = self._node.publish(
            Outgoing(topic, state.encode(), qos=1, retain=True, content_type=_JSON, expiry_s=expiry)
        )
        self._node.counts["states" if sent else "states_unsent"] += 1
