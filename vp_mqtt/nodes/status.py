"""A node's retained status, and the detection of a second process under the node's name."""

from __future__ import annotations

import math
import secrets
import socket
import time
from collections.abc import Sequence

from vp_mqtt import __version__
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.protocol.messages import MAX_PROBLEM_LETTERS, MessageError, Role, State, StatusMessage
from vp_mqtt.protocol.topics import Topics

_ADVICE = {
    "camera": "give each camera its own --camera (and its own --name, where you give one)",
    "variant": "give each node its own --variant (and its own --name, where you give one)",
    "fusion": "a site needs one fusion node only",
}

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

    def set_regions(self, cameras: Sequence[str]) -> None:
        """Name the cameras that are parts of a camera node's pictures."""
        self._message = self._message.model_copy(update={"regions": tuple(cameras)})

    def set_still(self, cameras: Sequence[str]) -> None:
        """Say before which of a node's cameras nothing moves."""
        self._message = self._message.model_copy(update={"still": tuple(cameras)})

    def message(self, state: State) -> Outgoing:
        """Return the status message for a state."""
        changes: dict[str, object] = {"state": state}
        if state is not State.ONLINE:
            changes |= {"problem": None, "still": None}
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
