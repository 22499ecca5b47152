"""What a site does, seen by one who listens to its labels, statuses and stats. Pure: the clock is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import takewhile

from vp_mqtt.overview.activity import NodeActivity, Recently
from vp_mqtt.overview.node_state import NodeState, is_still
from vp_mqtt.overview.problems import (
    any_online,
    camera_problems,
    fusion_problems,
    minority_problems,
    own_problems,
    restart_problems,
    twin_problems,
    variant_problems,
    why_labels_should_come,
)
from vp_mqtt.overview.totals import Totals
from vp_mqtt.protocol.messages import LabelMessage, State, StateMessage, StatsMessage, StatusMessage
from vp_mqtt.protocol.presence import NodePresence

_GRACE_S = 3.0  # retained statuses arrive at once, a node's first messages soon
_RATE_WINDOW_S = 5.0
_NO_LABEL_AFTER_S = 5.0
# A frame expires at the broker after 2 s: a longer way to its label is a difference between two clocks.
_LONGEST_RESPONSE_S = 10.0
# Any client can name a node: only so many are remembered.
_MAX_NODES = 512
_MAX_LABELS = 2000
_MAX_CAMERAS = 512


@dataclass(frozen=True, slots=True)
class SeenLabel:
    """A label as it arrived.

    Attributes:
        label: the message.
        at: when it arrived, on the monotonic clock, in seconds.
        wall_time: when it arrived, in seconds since 1970.
    """

    label: LabelMessage
    at: float
    wall_time: float

    @property
    def response_ms(self) -> float | None:
        """Time from capture to the label's arrival, in ms; None if the two clocks differ too much."""
        seconds = self.wall_time - self.label.captured
        return seconds * 1000 if 0 <= seconds <= _LONGEST_RESPONSE_S else None

    def is_expired(self, now: float) -> bool:
        """Return whether the label is out of date."""
        return now - self.at > self.label.valid_for_s


@dataclass(frozen=True, slots=True)
class SeenState:
    """A camera's state as it arrived.

    Attributes:
        state: the message.
        at: when it arrived, on the monotonic clock, in seconds.
    """

    state: StateMessage
    at: float

    def is_expired(self, now: float) -> bool:
        """Return whether nobody vouches for the state any more."""
        return now - self.at > self.state.valid_for_s


class Overview:
    """The nodes and the newest labels of a site, and what is missing.

    Attributes:
        site: the site's name.
        labels: the newest labels, oldest first.
        states: the newest state of each camera.
        totals: what all labels add up to.
        is_linked: whether the site's broker says that it is connected to that of its head office; None if it is silent.
    """

    def __init__(self, site: str, *, now: float) -> None:
        """Begin to listen now, on the monotonic clock."""
        self.site = site
        self.labels: deque[SeenLabel] = deque(maxlen=_MAX_LABELS)
        self.states: dict[str, SeenState] = {}
        self.totals = Totals()
        self._nodes: dict[str, NodePresence] = {}
        self._activities: dict[str, NodeActivity] = {}
        self._listening_since = now
        self._is_connected = True
        self.is_linked: bool | None = None
        self._link_lost_at: float | None = None

    def note_connection(self, now: float, *, is_connected: bool) -> None:
        """Note whether the listener is connected to the broker; silence while it is not says nothing."""
        if is_connected and not self._is_connected:
            self._listening_since = now
            for node in self._nodes.values():
                node.note_deaf(now)
        self._is_connected = is_connected

    def note_status(self, status: StatusMessage, *, retained: bool, now: float) -> None:
        """Note a node's status."""
        node = self._nodes.get(status.node)
        if node is not None:
            if status.state is not State.ONLINE and status.variant is None:
                # The will of a board that chooses its variant is from before it chose.
                known = node.status.model_dump(include={"variant", "bundle", "digest"})
                status = status.model_copy(update=known)
            node.note_status(status, retained=retained, now=now)
        elif len(self._nodes) < _MAX_NODES:
            self._nodes[status.node] = NodePresence(status, retained=retained, now=now)

    def note_stats(self, stats: StatsMessage, *, retained: bool, now: float) -> None:
        """Note a node's stats; those that a broker has kept say nothing about now."""
        if not retained and (node := self._nodes.get(stats.node)) is not None:
            node.note_heard(now)
            activity = self._activities.setdefault(stats.node, NodeActivity(stats))
            activity.note(stats, node.status.role)

    def note_state(self, camera: str, state: StateMessage | None, now: float) -> bool:
        """Note a camera's state, None if it was cleared; return whether it is another one than before."""
        before = self.states.pop(camera, None)
        if state is None or len(self.states) >= _MAX_CAMERAS:
            return False
        self.states[camera] = SeenState(state, now)
        return before is None or (before.state.label, before.state.since) != (state.label, state.since)

    def note_link(self, now: float, *, is_up: bool) -> None:
        """Note what the site's broker says of its link to this one, which is that of its head office."""
        self.is_linked = is_up
        self._link_lost_at = None if is_up else now

    def is_cut_off(self, now: float) -> bool:
        """Return whether the site's link to this broker is down, and no node has been heard since."""
        lost = self._link_lost_at
        if lost is None:
            return False
        return not any((node.heard_at or 0.0) > lost and node.is_heard for node in self.nodes(None, now))

    def forget(self, node: str) -> None:
        """Forget a node whose status was cleared."""
        self._nodes.pop(node, None)
        self._activities.pop(node, None)

    def note_label(self, label: LabelMessage, now: float, wall_time: float) -> SeenLabel:
        """Note a label."""
        seen = SeenLabel(label, now, wall_time)
        self.labels.append(seen)
        self.totals.note(label, wall_time)
        return seen

    @property
    def is_connected(self) -> bool:
        """Whether the listener is connected to the broker."""
        return self._is_connected

    def deadline_ms(self, now: float) -> float | None:
        """Return how long votes are waited for, as the fusion node that is online says, in ms; None if it does not."""
        online = [node for node in self.nodes("fusion", now) if node.is_online]
        return min(online, key=NodeState.doubt).status.deadline_ms if online else None

    def labels_per_s(self, now: float) -> float:
        """Return the rate of the last seconds."""
        return self.recently(now).labels / self._span(now)

    def recently(self, now: float) -> Recently:
        """Return what the labels of the last seconds say of boards and cameras."""
        newest = takewhile(lambda seen: now - seen.at <= _RATE_WINDOW_S, reversed(self.labels))
        return Recently.of((seen.label, seen.response_ms) for seen in newest)

    def rates(self, now: float) -> dict[str, float]:
        """Return the labels per second of each camera in the last seconds."""
        return {camera: count / self._span(now) for camera, count in self.recently(now).by_camera.items()}

    def _span(self, now: float) -> float:
        """Return for how much of the last seconds labels were listened to, in s."""
        return min(_RATE_WINDOW_S, max(1.0, now - self._listening_since))

    def nodes(self, role: str | None, now: float) -> list[NodeState]:
        """Return the nodes of a role, or all, by variant and name."""
        of_role = (node for node in self._nodes.values() if role in {None, node.status.role})
        states = (
            NodeState(
                node.status,
                node.at(now),
                node.is_heard(now),
                self._activities.get(node.status.node),
                node.heard_at,
                node.bundle_since,
                tuple(node.restarts),
            )
            for node in of_role
        )
        return sorted(states, key=lambda node: (node.status.variant or 0, node.status.node))

    def problems(self, now: float, *, grace_s: float = _GRACE_S) -> list[str]:
        """Return what is wrong with the site, a sentence each.

        Args:
            now: on the monotonic clock.
            grace_s: nothing is wrong yet in the first seconds.
        """
        if not self._is_connected:
            return ["no connection to the broker; trying again"]
        if now - self._listening_since < grace_s:
            return []
        has_labels = any(now - seen.at < max(_NO_LABEL_AFTER_S, seen.label.valid_for_s) for seen in self.labels)
        if not self._nodes:
            # An account that may not read statuses still sees labels.
            return [] if has_labels else [f"nothing is heard of site '{self.site}': is --site right, does a node run?"]
        fusion, cameras = self.nodes("fusion", now), self.nodes("camera", now)
        variants = self.nodes("variant", now)
        found = [
            *(["the link between the site's broker and its head office is down"] if self.is_cut_off(now) else ()),
            *fusion_problems(fusion),
            *camera_problems(cameras),
            *variant_problems(variants, fusion),
            *minority_problems(variants, fusion, now),
            *twin_problems([*fusion, *variants]),
            *restart_problems(self.nodes(None, now), now),
            *self._clock_problems(now),
            *own_problems(self.nodes(None, now)),
        ]
        has_pictures = any_online(camera for camera in cameras if camera.status.problem is None)
        # The first heartbeat of a camera before which nothing moves may be long in coming.
        may_wait = not self.labels and all(is_still(camera.status) for camera in cameras if camera.is_online)
        if not has_labels and any_online(fusion) and has_pictures and not may_wait:
            age = f"for {now - self.labels[-1].at:.0f} s" if self.labels else "yet"
            if self.labels or now - self._listening_since > _NO_LABEL_AFTER_S:
                found.append(f"no label {age}, although {why_labels_should_come(fusion)}")
        return found

    def _clock_problems(self, now: float) -> list[str]:
        apart = {
            seen.label.camera: seen.wall_time - seen.label.captured
            for seen in self.labels
            if seen.response_ms is None and not seen.is_expired(now)
        }
        return [
            f"the clocks of camera '{camera}' and this machine differ by about {abs(seconds):.0f} s: "
            "response times need both to be synchronised (NTP)"
            for camera, seconds in sorted(apart.items())
        ]
