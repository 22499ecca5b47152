"""The fusion node: votes in, one label a frame out."""

from __future__ import annotations

import math
import queue
import random
import threading
import time

from vp_mqtt.bundle import follow
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import MAX_CLASSES, Manifest
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.fusion.flood_guard import FloodGuard, Verdict
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.fusion.label import label_message
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.integrations import home_assistant
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.bundles import find_initial_bundle
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import (
    MAX_MESSAGE_BYTES,
    AnnounceMessage,
    MessageError,
    State,
    StatusMessage,
)
from vp_mqtt.protocol.topics import ANY, Kind, Topic, Topics

_WAITING_PER_SOURCE = 256
_IDLE_S = 1.0
_MAX_STRANGERS = 256
_POLL_S = 0.1
_VOTE = f"/{Kind.VOTE}"


class FusionNode:
    """Fuses the votes of a family's variants on the frames of all cameras of a site."""

    def __init__(self, settings: FusionSettings) -> None:
        """Read the bundle's manifest; if it is to come from the broker, wait for it.

        Raises:
            UserError: the bundle is not usable.
        """
        start = find_initial_bundle(settings, settings.node_name(), None)
        self._settings = settings
        self._follower = start.follower
        self._handover = Handover(suspect_after=settings.suspect_after)
        self._windows = Windows(self._handover, deadline=settings.deadline_ms / 1000)
        for bundle in (start.bundle, *start.others):
            self._windows.add_family(bundle.manifest, time.monotonic())
        self._leader = start.bundle.manifest
        self._arrived: queue.SimpleQueue[Bundle] = queue.SimpleQueue()
        # The newest status of nodes whose bundle is not known, or not yet.
        self._strangers: dict[str, Received] = {}
        self._seen: tuple[set[int], set[int]] = (set(), set())
        self._guard = FloodGuard()
        self._guard_lock = threading.Lock()
        self._flooding: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._inbox: Inbox[Received] = Inbox(per_source=_WAITING_PER_SOURCE)
        site = Topics(settings.site)
        self._bundle_topic = site.bundle()
        following = [(self._bundle_topic, 1)] if self._follower else []
        if settings.home_assistant:
            following.append((home_assistant.BIRTH_TOPIC, 0))
        self._node = Node(
            settings,
            bundle=start.bundle,
            subscriptions=[(site.status(ANY), 1), (site.announce(ANY), 1), *following],
            on_message=self._receive,
            on_stop=self._inbox.close,
            max_packet_bytes=MAX_MESSAGE_BYTES,
        )
        self._listening = 0
        self._listen()
        self._say_bundle()
        self._home = (
            home_assistant.Announcer(settings.site, self._node.name, settings.valid_for)
            if settings.home_assistant
            else None
        )

    def run(self) -> None:
        """Fuse until told to stop.

        Raises:
            UserError: the broker will not have us.
        """
        LOGGER.info(
            "fusing %d variants of '%s', deadline %g ms",
            len(self._leader.variants),
            self._leader.name,
            self._settings.deadline_ms,
        )
        if self._follower is not None:
            self._follower.follow(self._arrived.put, self._node.stopping)
        self._node.run(self._work, lambda: {**self._windows.counts, "messages_dropped": self._inbox.dropped})

    def _listen(self) -> None:
        """Subscribe to the votes of every variant of the bundles that are known, each by itself: see `_receive`."""
        variants = max(len(manifest.variants) for manifest in self._known())
        topics_of_votes = [self._node.topics.vote(ANY, variant) for variant in range(self._listening, variants)]
        self._node.session.subscribe(topics_of_votes)
        self._listening = max(self._listening, variants)

    def _receive(self, message: Received) -> None:
        """Sort a message by its topic; the votes of a variant that floods are left at the broker (network's thread)."""
        head, _, last = message.topic.rpartition("/")
        if head.endswith(_VOTE) and last.isascii() and last.isdecimal():
            variant = int(last)
            with self._guard_lock:
                verdict = self._guard.check(variant, message.at)
            if verdict is Verdict.BLOCK:
                self._node.session.unsubscribe(self._node.topics.vote(ANY, variant))
                self._flooding.put(variant)
            if verdict is not Verdict.ACCEPT:
                self._node.counts["flooded"] += 1
                return
        elif last == Kind.ANNOUNCE:
            with self._guard_lock:
                self._guard.note_announce()
        self._inbox.put(message.topic, message)

    def _take_floods(self, now: float) -> list[WindowResult]:
        results: list[WindowResult] = []
        while not self._flooding.empty():
            variant = self._flooding.get()
            LOGGER.warning("variant %d floods: its votes are left at the broker for a while", variant)
            results += self._windows.suspect(variant, now)
        with self._guard_lock:
            unblocked = self._guard.unblock(now)
        self._node.session.subscribe([self._node.topics.vote(ANY, variant) for variant in sorted(unblocked)])
        return results

    def _work(self) -> None:
        while not self._node.stopping.is_set():
            due = self._windows.next_deadline()
            wait = _IDLE_S if due is None else max(0.0, due - time.monotonic())
            message = self._inbox.get(min(wait, _POLL_S) if self._follower or self._home else wait)
            with self._node.work.piece():
                self._go_on(message, time.monotonic())

    def _go_on(self, message: Received | None, now: float) -> None:
        results = self._windows.expire(now)
        results += self._take_bundles(now)
        results += self._take_floods(now)
        if message is not None:
            results += self._take(message, now)
        for result in results:
            self._publish(result)
        self._tell_changes()
        self._tell_home(now)

    def _take_bundles(self, now: float) -> list[WindowResult]:
        results: list[WindowResult] = []
        while not self._arrived.empty():
            manifest = self._arrived.get().manifest
            if self._handover.find(manifest.short_digest) is not None:
                continue
            results += self._windows.add_family(manifest, now)
            self._listen()
            LOGGER.info("ready to fuse '%s' (%s)", manifest.name, manifest.short_digest.hex())
            self._say_bundle()
            strangers, self._strangers = self._strangers, {}
            for message in strangers.values():
                results += self._take(message, now)
        return results

    def _known(self) -> list[Manifest]:
        return [family.manifest for family in self._handover.families()]

    def _say_bundle(self) -> None:
        self._node.set_bundle(self._leader, self._known() if self._follower else None)

    def _tell_home(self, now: float) -> None:
        if self._home is None or not self._node.session.connected.is_set():
            return
        message = self._home.take(now)
        if message is not None and self._node.session.publish(message) is None:
            self._home.failed(now)

    def _take(self, message: Received, now: float) -> list[WindowResult]:
        if self._home is not None and message.topic == home_assistant.BIRTH_TOPIC:
            if message.payload == home_assistant.BIRTH_PAYLOAD:
                self._home.heard_birth(now, random.uniform(*home_assistant.WAIT_S))  # noqa: S311 (not a secret)
            return []
        try:
            topic = topics.parse(message.topic)
            match topic.kind:
                case Kind.ANNOUNCE:
                    announce = AnnounceMessage.decode(message.payload).announce()
                    if self._home is not None:
                        self._home.saw_camera(topic.source, now)
                    return self._windows.announce(topic.source, announce, now)
                case Kind.VOTE:
                    return self._take_vote(topic, message, now)
                case Kind.STATUS:
                    return self._take_status(topic, message, now)
                case Kind.BUNDLE if self._follower is not None:
                    self._follower.offer(message.payload)
        except ValueError as error:
            self._node.refusals.add(message.topic, str(error))
        return []

    def _take_vote(self, topic: Topic, message: Received, now: float) -> list[WindowResult]:
        frame = FrameId.decode(message.correlation)
        family = self._handover.find(votes.digest_of(message.payload))
        if family is None:
            votes.decode(message.payload, MAX_CLASSES)
            raise votes.VoteError("vote from another bundle")
        if topic.variant is None or topic.variant >= len(family.weights):
            raise votes.VoteError("no such variant")
        vote = votes.decode(message.payload, len(family.manifest.classes))
        return self._windows.vote(topic.source, frame, topic.variant, vote, now)

    def _take_status(self, topic: Topic, message: Received, now: float) -> list[WindowResult]:
        node = topic.source
        place: tuple[bytes, int] | None = None
        self._strangers.pop(node, None)
        # Without a payload somebody cleared the retained status: the node is gone for good.
        if message.payload:
            status = StatusMessage.decode(message.payload)
            if status.node != node:
                raise MessageError("status of another node")
            if status.variant is None:
                return []
            if self._home is not None:
                self._home.saw_board(node, status.variant, now)
            if status.state is State.ONLINE:
                family = self._handover.find(bytes.fromhex(status.digest or ""))
                if family is None:
                    self._node.refusals.add(node, "variant of another bundle")
                    if len(self._strangers) < _MAX_STRANGERS:
                        self._strangers[node] = message
                elif status.variant >= len(family.weights):
                    raise MessageError("no such variant")
                else:
                    place = (family.manifest.short_digest, status.variant)
        elif self._home is not None:
            self._home.saw_board(node, None, now)
        return self._windows.set_node(node, place, now)

    def _publish(self, result: WindowResult) -> None:
        label = label_message(result, valid_for_s=self._settings.valid_for)
        sent = self._node.session.publish(
            Outgoing(
                self._node.topics.label(result.camera),
                label.encode(),
                correlation=result.announce.frame.encode(),
                content_type="application/json",
                expiry_s=math.ceil(self._settings.valid_for),
            )
        )
        self._node.latencies.add(label.latency_ms)
        self._node.counts["labels" if sent else "labels_unsent"] += 1
        self._node.counts["labels_without_votes"] += result.winner is None

    def _tell_changes(self) -> None:
        leader = self._handover.leader
        if leader.manifest.digest != self._leader.digest:
            self._leader = leader.manifest
            LOGGER.info(
                "most of the boards run '%s' (%s) now", leader.manifest.name, leader.manifest.short_digest.hex()
            )
            self._say_bundle()
        liveness = leader.liveness
        alive = liveness.alive()
        suspected = {v for v in alive if liveness.is_suspected(v)}
        if (alive, suspected) == self._seen:
            return
        was_alive, was_suspected = self._seen
        self._seen = (alive, suspected)
        for variant in sorted(alive - was_alive):
            LOGGER.info("variant %d is online", variant)
        elsewhere = self._handover.elsewhere()
        for variant in sorted(was_alive - alive):
            if variant in elsewhere:
                LOGGER.info("variant %d runs '%s' now", variant, elsewhere[variant].name)
            else:
                LOGGER.warning("variant %d is gone", variant)
        for variant in sorted(suspected - was_suspected):
            LOGGER.warning("variant %d is silent: no longer waited for", variant)
        for variant in sorted((was_suspected - suspected) & alive & was_alive):
            LOGGER.info("variant %d votes again", variant)


def run(settings: FusionSettings) -> None:
    """Run the fusion node until it is told to stop.

    Raises:
        UserError: the settings, the bundle or the broker are not usable.
    """
    try:
        node = FusionNode(settings)
    except follow.Interrupted:
        return
    node.run()
