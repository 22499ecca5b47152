"""The states of all cameras, and when each is published. Pure: the clocks are passed in."""

from __future__ import annotations

import heapq
from collections.abc import Collection
from dataclasses import dataclass

from vp_mqtt.fusion.label import Label
from vp_mqtt.fusion.state import CameraState, SeenLabel, StateMachine, StateRules
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.messages import MessageError, StateMessage, StateReason

VALID_FOR_PERIODS = 3
"""A state is valid for so many times the interval in which it is published again."""

_MAX_RESTORED = 512
_FORGOTTEN_AFTER_S = 600.0
_WALL_TOLERANCE_S = 60.0


@dataclass(slots=True)
class _Camera:
    machine: StateMachine
    heard_at: float
    bundle: str
    # Of the machine when it was last heard: a time-out shortens it.
    patience: float = 0.0
    due: float = float("inf")
    wake: float = float("inf")


class CameraStates:
    """Decides on the states of the cameras, and which messages are due.

    Of the clocks, `now` is monotonic, in s, and `wall` in s since 1970.
    """

    def __init__(self, rules: StateRules, *, every: float) -> None:
        """Start without cameras.

        Args:
            rules: when a state changes.
            every: an unchanged state is published again after so many s.
        """
        self._rules = rules
        self._every = every
        self._cameras: dict[str, _Camera] = {}
        # With the times at which they were published, on the wall clock.
        self._restored: dict[str, tuple[CameraState, float]] = {}
        self._outbox: list[StateMessage] = []
        # When to look at which camera; an entry counts if it is the camera's `wake`.
        self._wakes: list[tuple[float, str]] = []

    @property
    def valid_for_s(self) -> float:
        """How long a published state is valid without being published again, in s."""
        return VALID_FOR_PERIODS * self._every

    def set_rules(self, rules: StateRules) -> None:
        """Follow other rules from now on; a state changes with the next label, or in time."""
        self._rules = rules
        for name, camera in self._cameras.items():
            camera.machine.set_rules(rules)
            self._wake_up(name, camera)

    def restore(self, camera: str, payload: bytes, classes: Collection[str], wall: float) -> None:
        """Note what the broker has kept for a camera: its state when this process was not there yet.

        It is evidence for nothing: the first state is decided by labels, and is the same one still if they agree, and
        if the first of them comes while it is valid.

        Args:
            camera: whose topic it was kept on.
            payload: of the message.
            classes: the names that a state can have.
            wall: the time.

        Raises:
            MessageError: it cannot be a state that a fusion node of this site has published.
        """
        message = StateMessage.decode(payload)
        if message.camera != camera:
            raise MessageError("of another camera")
        if message.label is not None and message.label not in classes:
            raise MessageError("class of another bundle")
        if not message.since <= min(message.published, wall + _WALL_TOLERANCE_S):
            raise MessageError("state from the future")
        if self._is_out_of_date(message.published, wall):
            raise MessageError("state out of date")
        if camera in self._cameras or len(self._restored) >= _MAX_RESTORED:
            return
        state = CameraState(
            message.label,
            message.since,
            previous=message.previous,
            confidence=message.confidence,
            agreeing=message.agreeing,
            is_timeout=message.reason is StateReason.TIMEOUT,
        )
        self._restored[camera] = state, message.published

    def note(self, result: WindowResult, label: Label, now: float, wall: float) -> None:
        """Note a frame's label.

        Args:
            result: of the frame's window.
            label: that was made of it.
            now: the time on the monotonic clock.
            wall: the time.
        """
        camera = self._cameras.get(result.camera)
        if camera is None:
            machine = StateMachine(self._rules, now, self._take_restored(result.camera, wall))
            camera = self._cameras[result.camera] = _Camera(machine, now, label.bundle)
        camera.heard_at = now
        camera.bundle = label.bundle
        if not label.voted:
            self._wake_up(result.camera, camera)
            return
        agreeing = frozenset(v for v, vote in result.votes.items() if vote.classes[0] == result.winner)
        seen = SeenLabel(
            label.label,
            label.confidence or 0.0,
            agreeing if label.label is not None else frozenset(),
            label.valid_for_s,
        )
        self._publish(result.camera, camera, camera.machine.note(seen, now, wall), now, wall)
        camera.patience = camera.machine.patience
        self._wake_up(result.camera, camera)

    def forget(self, camera: str) -> None:
        """Say nothing of a camera any more: another fusion node does."""
        self._cameras.pop(camera, None)
        self._restored.pop(camera, None)

    def next_due(self) -> float | None:
        """Return when `messages_due` may have something to say, on the monotonic clock; None without cameras."""
        if self._outbox:
            return float("-inf")
        return self._wakes[0][0] if self._wakes else None

    def messages_due(self, now: float, wall: float) -> list[StateMessage]:
        """Return the states that have changed, and those that are to be published again."""
        while self._wakes and self._wakes[0][0] <= now:
            at, name = heapq.heappop(self._wakes)
            camera = self._cameras.get(name)
            if camera is None or camera.wake != at:
                continue
            if now >= _forgotten_at(camera):
                # Nobody vouches for its state any more: the broker drops it when it is no longer valid.
                del self._cameras[name]
                continue
            changed = camera.machine.tick(now, wall)
            self._publish(name, camera, changed or (camera.machine.state if now >= camera.due else None), now, wall)
            camera.wake = float("inf")
            self._wake_up(name, camera)
        found, self._outbox = self._outbox, []
        return found

    def repeat(self, now: float) -> None:
        """Publish all states again: messages were lost, or the broker has forgotten."""
        for name, camera in self._cameras.items():
            if camera.machine.state is not None:
                camera.due = min(camera.due, now)
                self._wake_up(name, camera)

    def _wake_up(self, name: str, camera: _Camera) -> None:
        """Look at a camera when something is due; sooner does no harm, so that not every label changes the time."""
        wake = min(camera.due, camera.machine.next_due(), _forgotten_at(camera))
        if wake < camera.wake:
            camera.wake = wake
            heapq.heappush(self._wakes, (wake, name))

    def _publish(self, name: str, camera: _Camera, state: CameraState | None, now: float, wall: float) -> None:
        if state is not None:
            camera.due = now + self._every
            self._outbox.append(self._message(name, camera.bundle, state, wall))

    def _take_restored(self, camera: str, wall: float) -> CameraState | None:
        """Return what the broker had kept for a camera, once; None where nobody has vouched for it for too long."""
        state, published = self._restored.pop(camera, (None, wall))
        return None if self._is_out_of_date(published, wall) else state

    def _is_out_of_date(self, published: float, wall: float) -> bool:
        return wall - published > self.valid_for_s + _WALL_TOLERANCE_S

    def _message(self, camera: str, bundle: str, state: CameraState, wall: float) -> StateMessage:
        return StateMessage(
            camera=camera,
            label=state.label,
            since=round(state.since, 3),
            previous=state.previous,
            confidence=None if state.confidence is None else round(state.confidence, 4),
            agreeing=state.agreeing,
            reason=StateReason.TIMEOUT if state.is_timeout else StateReason.LABELS,
            published=round(max(wall, state.since), 3),
            valid_for_s=self.valid_for_s,
            bundle=bundle,
        )


def _forgotten_at(camera: _Camera) -> float:
    """Return when nothing more is said of a silent camera: some time after its state has timed out."""
    return camera.heard_at + max(_FORGOTTEN_AFTER_S, 2 * max(camera.patience, camera.machine.patience))
