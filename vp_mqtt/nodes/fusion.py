"""The fusion node: votes in, one label per frame out."""

from __future__ import annotations

import random
import time
from functools import partial

from vp_mqtt.bundle import follow
from vp_mqtt.bundle.fetch import POINTER_LIMIT
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.integrations import home_assistant
from vp_mqtt.integrations.announcer import Announcer
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.flood_guard import Limit
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.bundles import find_initial_bundle
from vp_mqtt.nodes.change_reporter import ChangeReporter
from vp_mqtt.nodes.fusion_inbox import (
    BundleArrived,
    DiscoveryArrived,
    Event,
    FusionInbox,
    HomeAssistantStarted,
    MessageArrived,
    SourceFlooded,
)
from vp_mqtt.nodes.fusion_messages import FusionMessages
from vp_mqtt.nodes.fusion_output import FusionOutput
from vp_mqtt.nodes.fusion_subscriptions import FusionSubscriptions
from vp_mqtt.nodes.sharing import Sharing
from vp_mqtt.plain_text import counted
from vp_mqtt.protocol.messages import MessageError
from vp_mqtt.protocol.topics import Kind

# No message of the site that the node reads comes near this size; the broker keeps larger ones.
_MAX_PACKET_BYTES = 32_768

_LISTEN_EVERY_S = 1.0
_LOOK_FOR_CONNECTION_EVERY_S = 0.2

# A vote takes a decode, a model and two hops.
_SHORT_DEADLINE_MS = 10

# Home Assistant says that it starts, or stops; its device is described again when cameras or boards come or go.
_HOME_LIMIT = Limit(burst=20, per_second=0.5)


class FusionNode:
    """Fuses the votes of a family's variants on the frames of all cameras of a site."""

    def __init__(self, settings: FusionSettings) -> None:
        """Prepare, without connecting."""
        self._settings = settings
        self._handover = Handover(suspect_after=settings.suspect_after)
        self._windows = Windows(self._handover, deadline=settings.deadline_ms / 1000, cameras=settings.cameras)
        self._changes = ChangeReporter(self._handover)
        self._follower: follow.Follower | None = None
        self._connections = 0
        self._next_listen = 0.0
        self._node = Node(
            site=settings.site,
            name=settings.node_name(),
            role=settings.role,
            stats_every_s=settings.stats_every,
            subscriptions=(),
            on_message=self._receive,
            on_pause=self._hand_over,
            on_stop=self._close,
            more_counts=lambda: {**self._windows.counts, "messages_dropped": self._inbox.dropped},
            max_packet_bytes=home_assistant.MAX_PACKET_BYTES if settings.home_assistant else _MAX_PACKET_BYTES,
        )
        self._node.change_status(lambda status: status.set_deadline(settings.deadline_ms))
        # First of all, so that what the broker has kept of our states comes before the first frames.
        self._output = FusionOutput(settings, self._node, self._handover)
        self._home: Announcer | None = None
        if settings.home_assistant:
            self._home = Announcer(settings.site, self._node.name, self._output.validity, time.monotonic())
            topics = [home_assistant.BIRTH_TOPIC, home_assistant.config_topic(settings.site)]
            self._node.subscribe(topics, qos=1, limit=_HOME_LIMIT)
        self._sharing = Sharing(settings, self._node, self._windows, self._output) if settings.shard else None
        self._messages = FusionMessages(self._windows, self._handover, self._node.refusals, self._home, self._sharing)
        self._subscriptions = FusionSubscriptions(
            self._node,
            cameras=settings.cameras,
            known_cameras=self._windows.cameras.names,
            known_nodes=self._messages.nodes.names,
            shared=None if self._sharing is None else self._sharing.known,
        )
        self._node.gates.on_flood = self._subscriptions.note_topic_flood
        self._inbox = FusionInbox(
            self._messages,
            on_refused=self._node.refusals.add,
            on_flooded=lambda: self._node.counts.update(flooded=1),
            on_block=self._subscriptions.block,
        )

    def start(self) -> None:
        """Read the bundle's manifest, and connect; waits for the broker if the bundle is to come from there.

        Raises:
            UserError: the bundle is not usable, or the broker refuses us.
            Interrupted: an ending signal came while it was waiting.
        """
        start = find_initial_bundle(self._settings, self._node.name, None, lambda _bundle, _is_proven: None)
        now = time.monotonic()
        for bundle in (start.bundle, *start.others):
            self._windows.add_family(bundle.manifest, now)
        self._follower = start.follower
        self._subscriptions.add_variants(self._handover.most_variants())
        self._name_bundle()
        self._changes.report()
        leader = start.bundle.manifest
        LOGGER.info(
            "fusing %s of '%s', deadline %g ms",
            counted(len(leader.variants), "variant"),
            leader.name,
            self._settings.deadline_ms,
        )
        if self._settings.deadline_ms < _SHORT_DEADLINE_MS:
            LOGGER.warning("a deadline of %g ms passes before most votes arrive", self._settings.deadline_ms)
        if self._follower is not None:
            self._node.subscribe([self._node.topics.bundle()], qos=1, limit=POINTER_LIMIT)
            self._follower.follow(self._on_bundle, self._node.stopping, partial(self._node.set_problem, "bundle"))
        self._node.start(self._settings.broker_options(), self._settings.metrics_address)

    def run(self) -> None:
        """Fuse until stopped.

        Raises:
            UserError: the session ended with a permanent failure.
        """
        self._node.run(self._work)

    def stop(self) -> None:
        """End `run` soon; may be called from any thread."""
        self._node.stop()

    def _receive(self, message: Received) -> None:
        self._inbox.receive(message)

    def _hand_over(self) -> None:
        self._inbox.hand_over()

    def _close(self) -> None:
        self._inbox.close()

    def _work(self) -> None:
        while not self._node.stopping.is_set():
            events = self._inbox.get(self._patience())
            with self._node.work.item():
                now = time.monotonic()
                if self._sharing is not None:
                    self._sharing.check(now)
                results = self._windows.expire(now)
                for event in events:
                    results += self._handle(event, now)
                results += self._listen(now)
                if self._sharing is not None:
                    self._sharing.update(self._subscriptions, now)
                self._output.publish(results, now)
                if self._changes.report():
                    self._name_bundle()
                for source in sorted(self._inbox.unblock(now)):
                    self._subscriptions.unblock(source)
                if self._home is not None:
                    self._home.publish_due(now, self._node.publish, is_connected=lambda: self._node.is_connected)

    def _patience(self) -> float | None:
        """Return how long to wait for the next event, in s."""
        dues = [
            self._windows.next_deadline(),
            self._inbox.next_unblock(),
            self._home.next_due() if self._home else None,
            self._sharing.next_due(time.monotonic()) if self._sharing else None,
            self._next_listen,
            self._output.next_due(),
        ]
        return max(0.0, min(due for due in dues if due is not None) - time.monotonic())

    def _listen(self, now: float) -> list[WindowResult]:
        """Once a second, keep track of who is heard; while there is no connection, nobody is."""
        if now < self._next_listen:
            return []
        if not self._node.is_connected:
            self._next_listen = now + _LOOK_FOR_CONNECTION_EVERY_S
            return []
        self._next_listen = now + _LISTEN_EVERY_S
        if self._connections != self._node.session.connections:
            self._connections = self._node.session.connections
            self._messages.note_connection(now)
        self._subscriptions.listen_to(self._messages.nodes.listened_to())
        return self._messages.tick(now)

    def _handle(self, event: Event, now: float) -> list[WindowResult]:
        match event:
            case MessageArrived(topic=topic, message=message) if topic.kind is Kind.BUNDLE:
                self._follow_to(message)
            case MessageArrived(topic=topic) if topic.kind in {Kind.STATE, Kind.FUSION_SETTINGS}:
                self._output.handle(event)
            case MessageArrived():
                return self._messages.handle(event, now)
            case BundleArrived():
                return self._add_bundle(event.manifest, now)
            case SourceFlooded():
                return self._note_flood(*event.source, now)
            case DiscoveryArrived() if self._home is not None:
                self._home.adopt(event.payload)
            case HomeAssistantStarted() if self._home is not None:
                self._home.note_birth(now, random.uniform(*home_assistant.WAIT_S))  # noqa: S311 (not a secret)
        return []

    def _follow_to(self, message: Received) -> None:
        if self._follower is None:
            return
        try:
            self._follower.offer(message.payload)
        except MessageError as error:
            self._node.refusals.add(message.topic, str(error))

    def _on_bundle(self, bundle: Bundle) -> None:
        """Hand a bundle over to the node's loop (in the follower's thread)."""
        self._inbox.put(BundleArrived(bundle.manifest))

    def _add_bundle(self, manifest: Manifest, now: float) -> list[WindowResult]:
        if self._handover.find(manifest.short_digest) is not None:
            return []
        results = self._windows.add_family(manifest, now)
        self._subscriptions.add_variants(self._handover.most_variants())
        LOGGER.info("ready to fuse '%s' (%s)", manifest.name, manifest.short_digest.hex())
        self._name_bundle()
        return results + self._messages.handle_pending(now)

    def _name_bundle(self) -> None:
        """Name the leading bundle in the status, and those that are ready where the node follows the site's bundle."""
        ready = [family.manifest for family in self._handover.families()]
        follows = self._follower is not None
        self._node.set_bundle(self._handover.leader.manifest, ready if follows else None, follows=follows)

    def _note_flood(self, kind: Kind, name: str, now: float) -> list[WindowResult]:
        if kind is Kind.VOTE and name:
            LOGGER.warning("variant %s floods: its votes are left at the broker for a while", name)
            return self._windows.suspect(int(name), now)
        LOGGER.warning(
            "%s messages of %s flood: they are left at the broker for a while",
            *(kind.capitalize(), f"'{name}'" if name else "unknown names"),
        )
        return []


def run(settings: FusionSettings) -> None:
    """Run the fusion node until it is stopped.

    Raises:
        UserError: the settings, the bundle or the broker are not usable.
    """
    node = FusionNode(settings)
    try:
        node.start()
    except follow.Interrupted:
        return
    node.run()
