"""A node's retained status, and the detection of a second process under the node's name."""

from __future__ import annotations

import math
import secrets
import socket
import time
from collections.abc import Mapping, Sequence

from vp_mqtt import __version__
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.protocol.claims import Claim
from vp_mqtt.protocol.messages import MAX_PROBLEM_LETTERS, MessageError, PublishedFrames, Role, State, StatusMessage
from vp_mqtt.protocol.settings_values import SettingsInForce
from vp_mqtt.protocol.topics import Topics

_ADVICE = {
    "camera": "give each camera its own --camera (and its own --name, where you give one)",
    "variant": "give each node its own --variant (and its own --name, where you give one)",
    "fusion": "a site needs one fusion node only; several that share its cameras (--shard) each need their own --name",
}

_WHILE_ONLINE = (
    "problem",
    "still",
    "settings",
    "published",
    "claim",
    "claim_held",
    "is_spare",
    "shard",
    "yields",
    "owns",
)
_EVICTIONS, _IN_A_ROW_S = 2, 30.0


class NodeStatus:
    """A node's retained status: its birth ("online"), its goodbye ("stopped") and its will ("offline")."""

    def __init__(
        self,
        *,
        site: str,
        name: str,
        role: Role,
        stats_every_s: float,
        variant: int | None = None,
        camera: str | None = None,
    ) -> None:
        """Describe the node.

        Args:
            site: the site's name.
            name: the node's name.
            role: what the node does.
            stats_every_s: interval of its stats, in seconds.
            variant: the variant's index, for a variant node.
            camera: the camera's name, for a camera node.
        """
        self._problems: dict[str, str] = {}
        self.topic = Topics(site).status(name)
        self._has_been_online = False
        # The first connection ends no other one of ours.
        self._evicted_from = 1
        self._evicted_at = -math.inf
        self._evictions = 0
        self._message = StatusMessage(
            state=State.ONLINE,
            node=name,
            role=role,
            version=__version__,
            host=socket.gethostname(),
            client_id=f"vp-{site}-{name}",
            instance=secrets.token_hex(4),
            started=round(time.time(), 3),
            variant=variant,
            camera=camera,
            stats_every_s=stats_every_s,
        )

    @property
    def current(self) -> StatusMessage:
        """The status while the node is online."""
        return self._message

    @property
    def client_id(self) -> str:
        """The node's MQTT client id."""
        return self._message.client_id

    def set_bundle(self, manifest: Manifest, ready: Sequence[Manifest] | None = None, *, follows: bool) -> None:
        """Name the bundle that the node works with.

        Args:
            manifest: the bundle's.
            ready: of a fusion node, the bundles whose votes it can fuse.
            follows: whether it switches to the bundles that are pushed to its site.
        """
        self._message = self._message.model_copy(
            update={
                "bundle": manifest.name,
                "digest": manifest.short_digest.hex(),
                "follows": follows,
                "ready": None if ready is None else tuple(known.short_digest.hex() for known in ready),
            }
        )

    def set_problem(self, kind: str, problem: str | None) -> None:
        """Say what keeps the node from its work; None if nothing of this kind does any more."""
        if problem is None:
            self._problems.pop(kind, None)
        else:
            self._problems[kind] = problem
        said = "; ".join(self._problems.values())[:MAX_PROBLEM_LETTERS]
        self._message = self._message.model_copy(update={"problem": said or None})

    def set_variant(self, variant: int | None) -> None:
        """Name the variant that a node runs which chooses it; None for none: then it works with no bundle, either."""
        nothing = {"bundle": None, "digest": None, "frame_side": None} if variant is None else {}
        self._message = self._message.model_copy(update={"variant": variant, **nothing})

    def set_claim(self, claim: Claim | None, *, is_spare: bool) -> None:
        """Say what a node claims that chooses its variant, or that it waits as a spare."""
        held = None if claim is None else claim.is_held
        changes = {"claim": None if claim is None else claim.variant, "claim_held": held, "is_spare": is_spare or None}
        self._message = self._message.model_copy(update=changes)

    def set_frame_side(self, side: int | None) -> None:
        """Say to which side a variant node resizes frames, in pixels; None while it has no model."""
        self._message = self._message.model_copy(update={"frame_side": side})

    def set_published(self, frames: Mapping[str, PublishedFrames]) -> None:
        """Say what a camera node's frames are like, by camera."""
        self._message = self._message.model_copy(update={"published": dict(frames)})

    def set_deadline(self, deadline_ms: float) -> None:
        """Say how long a fusion node waits for the votes on a frame, in ms."""
        self._message = self._message.model_copy(update={"deadline_ms": deadline_ms})

    def set_replica(self) -> None:
        """Say that the node shares its variant's frames with other nodes."""
        self._message = self._message.model_copy(update={"is_replica": True})

    def set_shard(self, token: str, yields: dict[str, str] | None, owns: Sequence[str]) -> None:
        """Say what a fusion node has that shares the site's cameras, see `Shards`."""
        self._message = self._message.model_copy(update={"shard": token, "yields": yields, "owns": tuple(owns)})

    def set_regions(self, cameras: Sequence[str] | None) -> None:
        """Name the cameras that are parts of a camera node's pictures; None if it publishes the whole picture."""
        self._message = self._message.model_copy(update={"regions": None if cameras is None else tuple(cameras)})

    def set_still(self, cameras: Sequence[str] | None) -> None:
        """Say before which of a node's cameras nothing moves; None if it publishes all frames."""
        self._message = self._message.model_copy(update={"still": None if cameras is None else tuple(cameras)})

    def set_settings(self, settings: SettingsInForce) -> None:
        """Say which settings are in force, of those that can be changed while the node runs."""
        self._message = self._message.model_copy(update={"settings": settings})

    def set_picture(self, size: tuple[int, int]) -> None:
        """Say how large a camera node's whole picture is: width and height, in pixels."""
        self._message = self._message.model_copy(update={"picture": size})

    def message(self, state: State) -> Outgoing:
        """Return the status message for a state."""
        changes: dict[str, object] = {"state": state}
        if state is not State.ONLINE:
            changes |= dict.fromkeys(_WHILE_ONLINE)
        payload = self._message.model_copy(update=changes).encode()
        return Outgoing(self.topic, payload, qos=1, retain=True)

    def check(self, payload: bytes, connections: int, now: float) -> bool:
        """Check the status that the broker delivers for our name.

        Not every broker informs a client that another one took over its id (MQTT 5.0, reason code 0x8E; Mosquitto 2.0
        does not), but it shows: we lose our connection, and find another process's status when we are back. Once may be
        chance or a lie, twice in a row is a twin. The process started last stays, so that two do not evict each other
        for ever. What the status was before our birth is our name's past.

        Args:
            payload: of the status.
            connections: how often we have connected to the broker.
            now: the time, on a monotonic clock, in s.

        Returns:
            Whether it may stay; otherwise what the broker keeps for our name is wrong now.

        Raises:
            UserError: a second process, started after this one, runs under our name and takes our place repeatedly.
        """
        try:
            status = StatusMessage.decode(payload)
        except MessageError:
            return not self._has_been_online
        own = self._message
        if status.instance == own.instance:
            self._has_been_online = True
            return True
        if not self._has_been_online:
            return True
        if (status.started, status.instance) > (own.started, own.instance):
            self._note_eviction(connections, now)
            if self._evictions >= _EVICTIONS:
                where = f"on {status.host}" if status.host != own.host else "here"
                advice = _ADVICE.get(own.role, "give one another --name")
                raise UserError(f"'{own.node}' was started a second time, {where}, and took our place; {advice}")
        return False

    def _note_eviction(self, connections: int, now: float) -> None:
        """Count a status of another process, if we have lost our connection since the last one."""
        if connections <= self._evicted_from:
            return
        is_in_a_row = now - self._evicted_at <= _IN_A_ROW_S
        self._evictions = self._evictions + 1 if is_in_a_row else 1
        self._evicted_from, self._evicted_at = connections, now
