"""A fusion node that shares a site's cameras with others: what it has at the broker, and says in its status."""

from __future__ import annotations

import math
import secrets
import time

from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.fusion.known_cameras import KnownCameras
from vp_mqtt.fusion.left_out import LeftOut
from vp_mqtt.fusion.shards import SETTLE_S, Shards, lease_s
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.fusion_output import FusionOutput
from vp_mqtt.nodes.fusion_subscriptions import FusionSubscriptions
from vp_mqtt.protocol.messages import MAX_CAMERAS, State, StatsMessage, StatusMessage, decode_of_node

_LIST_EVERY_S = 1.0
_MAX_GONE = 4096
_BEAT_AGAIN_S = 1.0
_LINGER_S = 0.5
_SLEPT_S = 0.5


class Sharing:
    """What the fusion node has of the site's cameras; all methods run in the node's loop."""

    def __init__(self, settings: FusionSettings, node: Node, windows: Windows, output: FusionOutput) -> None:
        """Have nothing until the node is connected.

        Args:
            settings: of the node.
            node: whose status says what it has.
            windows: of its frames.
            output: its labels and states.
        """
        self._node, self._windows, self._output = node, windows, output
        self._given = settings.cameras
        self._members = settings.shard_members
        self._shards = Shards(node.name, lease_s=lease_s(settings.stats_every))
        self._connections = 0
        self._slept = _slept()
        self._beat_at = -math.inf
        self._seen: object = None
        self._told: object = None
        self._listed: list[str] = []
        self._told_at, self._list_at = -math.inf, math.inf
        self._others: list[str] | None = None
        self._owned: frozenset[str] = frozenset()
        # Released cameras, and until when votes on their last frames may come.
        self._lingering: dict[str, float] = {}
        # Cameras that are ours still, but gone: their states end as those of any camera do.
        self._gone: frozenset[str] = frozenset()
        self.known = KnownCameras(settings.cameras)
        self._left_out = LeftOut()
        self._problem: str | None = None
        output.is_ours = self.owns
        self._begin(-math.inf)

    def check(self, now: float) -> None:
        """Before the messages of a round: begin anew if the connection is another one, or the lease has run out."""
        if not self._node.is_connected:
            if self._shards.is_ready:
                # The others are not to yield to what the next connection's first status says.
                self._begin(now)
            return
        slept = _slept()
        is_lost = self._shards.has_lost_lease(now) or slept - self._slept > _SLEPT_S
        self._slept = slept
        connections = self._node.session.connections
        if is_lost:
            # Others may have gone on with newer frames: labels of ours would come after those.
            self._windows.abandon()
            LOGGER.warning("not heard at the broker for too long: other fusion nodes may have our cameras meanwhile")
        if is_lost or connections != self._connections:
            self._connections = connections
            self._begin(now)
            self._beat(now)

    def owns(self, camera: str, now: float) -> bool:
        """Return whether frames of a camera that are announced now are for this node to label."""
        if not self._shards.owns(camera, now):
            return False
        self.known.note_seen(camera, now)
        return True

    def note_status(self, status: StatusMessage, *, retained: bool, now: float) -> None:
        """Note the status of a node of any role."""
        is_online = status.state is State.ONLINE
        if status.camera is not None:
            self.known.note_named(status.node, (status.regions or (status.camera,)) if is_online else (), now)
        if status.role == "fusion" and self._may_share(status.node):
            self._shards.note_status(status, retained=retained, now=now)
            if status.node != self._node.name:
                self.known.note_named(status.node, (status.owns or ()) if is_online else (), now)

    def _may_share(self, node: str) -> bool:
        """Return whether a fusion node is one of the members, where the settings name them."""
        if self._members is None or node in {self._node.name, *self._members}:
            return True
        self._node.refusals.add(node, "fusion node that is none of --shard-members")
        return False

    def note_stats(self, node: str, message: Received) -> None:
        """Note the stats of a node, which may be this one.

        Raises:
            MessageError: they are invalid.
        """
        if message.retained:
            return
        if node == self._node.name:
            stats = decode_of_node(StatsMessage, node, message.payload)
            self._shards.note_heartbeat(min(self._node.stats.sent_at(stats), message.at))
        else:
            self._shards.note_heard(node, message.at)

    def forget(self, node: str, now: float) -> None:
        """Note that a node's status was cleared."""
        self._shards.forget(node)
        self.known.note_named(node, (), now)

    def tick(self, now: float) -> None:
        """Forget cameras that are gone, and say so when others leave out what they have; to be called once a second."""
        self.known.prune(now)
        problem = self._left_out.note(self._shards.heirs_without(self.known.expected(), now), now)
        if problem != self._problem:
            self._problem = problem
            self._node.set_problem("cameras", problem)
            if problem is not None:
                LOGGER.warning("%s", problem)

    def next_due(self, now: float) -> float:
        """Return when `update` has something to do without a message."""
        dues = [self._list_at, *self._lingering.values()]
        if self._node.is_connected and not self._shards.is_settled(now):
            settles = self._beat_at + SETTLE_S
            dues.append(settles if now < settles else self._beat_at + _BEAT_AGAIN_S)
        return min(dues)

    def update(self, subscriptions: FusionSubscriptions, now: float) -> None:
        """After the messages of a round: stop with the cameras that are others' now, say so, and begin with others."""
        is_settled = self._shards.is_settled(now)
        if not is_settled and now >= self._beat_at + _BEAT_AGAIN_S and self._node.is_connected:
            self._beat(now)
        ended = [camera for camera, until in self._lingering.items() if until <= now]
        seen = self._shards.version, is_settled, self.known.version
        if seen == self._seen and not ended and now < self._list_at:
            return
        self._seen, self._list_at = seen, math.inf
        for camera in ended:
            del self._lingering[camera]
        owned = frozenset(camera for camera in self.known if self._shards.owns(camera, now))
        if is_settled:
            self._take_and_release(owned, subscriptions, now)
        self._tell(sorted(owned)[:MAX_CAMERAS], now)

    def _take_and_release(self, owned: frozenset[str], subscriptions: FusionSubscriptions, now: float) -> None:
        others = self._shards.others()
        gained, released = owned - self._owned, self._owned - owned
        gone = (self._gone | released) - owned
        given_away = frozenset(camera for camera in gone if not self._shards.owns(camera, now))
        self._output.release(given_away)
        self._output.take(gained - self._gone, now)
        self._gone = frozenset(sorted(gone - given_away)[-_MAX_GONE:])
        self._lingering |= dict.fromkeys(released, now + self._windows.deadline + _LINGER_S)
        for camera in gained:
            self._lingering.pop(camera, None)
        self._owned = owned
        has_all = not others and self._given is None
        subscriptions.set_cameras(None if has_all else owned, None if has_all else owned | self._lingering.keys())
        if others != self._others:
            self._others = others
            LOGGER.info("shares the site's cameras with %s", ", ".join(others) if others else "no other fusion node")

    def _tell(self, listed: list[str], now: float) -> None:
        is_ready = self._shards.is_ready or self._shards.knows_others(now)
        # Who is new need not know us by what the broker has kept.
        said = self._shards.token, is_ready, self._shards.yields(), self._shards.heard()
        if said == self._told:
            if listed == self._listed:
                return
            if now < self._told_at + _LIST_EVERY_S:
                # What the node has, for people, may wait; the others need to know the rest at once.
                self._list_at = self._told_at + _LIST_EVERY_S
                return
        self._told, self._told_at, self._listed = said, now, listed
        self._say(said[2] if is_ready else None)
        if is_ready and not self._shards.is_ready:
            self._shards.note_ready(time.monotonic())
            self._beat(now)

    def _say(self, yields: dict[str, str] | None) -> None:
        token, listed = self._shards.token, self._listed
        self._node.change_status(lambda status: status.set_shard(token, yields, listed))

    def _begin(self, now: float) -> None:
        self._shards.begin(secrets.token_hex(4), now)
        self._listed = []
        self._say(None)

    def _beat(self, now: float) -> None:
        self._beat_at = now
        self._node.publish_stats()


def _slept() -> float:
    """Return for how long this machine has been suspended since it started, in s: the monotonic clock stood still."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic() if hasattr(time, "CLOCK_BOOTTIME") else 0.0
