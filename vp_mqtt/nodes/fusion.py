"""The fusion node: votes in, one label a frame out."""

from __future__ import annotations

import math
import queue
import random
import threading
import time

from vp_mqtt.bundle import follow
from vp_mqtt.bundle.manifest import MAX_CLASSES, Bundle
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.fusion.flood_guard import Gates, Passage
from vp_mqtt.fusion.handover import Families, Outcome
from vp_mqtt.integrations import home_assistant
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import (
    MAX_MESSAGE_BYTES,
    AnnounceMessage,
    ClassScore,
    LabelMessage,
    MessageError,
    State,
    StatusMessage,
)
from vp_mqtt.protocol.topics import ANY, Kind, Topic, Topics

_TOP = 3
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
        start = follow.begin(settings, settings.node_name(), None)
        self._settings = settings
        self._follower = start.follower
        self._families = Families(
            start.bundle.manifest, deadline=settings.deadline_ms / 1000, suspect_after=settings.suspect_after
        )
        for other in start.others:
            self._families.add(other.manifest, time.monotonic())
        self._leader = start.bundle.manifest
        self._arrived: queue.SimpleQueue[Bundle] = queue.SimpleQueue()
        # The newest status of nodes whose bundle is not known, or not yet.
        self._strangers: dict[str, Received] = {}
        self._seen: tuple[set[int], set[int]] = (set(), set())
        self._gates = Gates()
        self._gates_lock = threading.Lock()
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
        self._node.run(self._work, lambda: {**self._families.counts, "messages_dropped": self._inbox.dropped})

    def _listen(self) -> None:
        """Subscribe to the votes of every variant of the bundles that are known, each by itself: see `_receive`."""
        variants = max(len(manifest.variants) for manifest in self._families.known())
        topics_of_votes = [self._node.topics.vote(ANY, variant) for variant in range(self._listening, variants)]
        self._node.session.subscribe(topics_of_votes)
        self._listening = max(self._listening, variants)

    def _receive(self, message: Received) -> None:
        """Sort a message by its topic; the votes of a variant that floods are left at the broker (network's thread)."""
        head, _, last = message.topic.rpartition("/")
        if head.endswith(_VOTE) and last.isascii() and last.isdecimal():
            variant = int(last)
            with self._gates_lock:
                passage = self._gates.take(variant, message.at)
            if passage is Passage.SHUTS:
                self._node.session.unsubscribe(self._node.topics.vote(ANY, variant))
                self._flooding.put(variant)
            if passage is not Passage.PASSES:
                self._node.counts["flooded"] += 1
                return
        elif last == Kind.ANNOUNCE:
            with self._gates_lock:
                self._gates.announced()
        self._inbox.put(message.topic, message)

    def _take_floods(self, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while not self._flooding.empty():
            variant = self._flooding.get()
            LOGGER.warning("variant %d floods: its votes are left at the broker for a while", variant)
            outcomes += self._families.suspect(variant, now)
        with self._gates_lock:
            reopened = self._gates.reopen(now)
        self._node.session.subscribe([self._node.topics.vote(ANY, variant) for variant in sorted(reopened)])
        return outcomes

    def _work(self) -> None:
        while not self._node.stopping.is_set():
            due = self._families.next_deadline()
            wait = _IDLE_S if due is None else max(0.0, due - time.monotonic())
            message = self._inbox.get(min(wait, _POLL_S) if self._follower or self._home else wait)
            with self._node.work.piece():
                self._go_on(message, time.monotonic())

    def _go_on(self, message: Received | None, now: float) -> None:
        outcomes = self._families.expire(now)
        outcomes += self._take_bundles(now)
        outcomes += self._take_floods(now)
        if message is not None:
            outcomes += self._take(message, now)
        for outcome in outcomes:
            self._publish(outcome)
        self._tell_changes()
        self._tell_home(now)

    def _take_bundles(self, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while not self._arrived.empty():
            manifest = self._arrived.get().manifest
            if self._families.get(manifest.short_digest) is not None:
                continue
            outcomes += self._families.add(manifest, now)
            self._listen()
            LOGGER.info("ready to fuse '%s' (%s)", manifest.name, manifest.short_digest.hex())
            self._say_bundle()
            strangers, self._strangers = self._strangers, {}
            for message in strangers.values():
                outcomes += self._take(message, now)
        return outcomes

    def _say_bundle(self) -> None:
        self._node.set_bundle(self._leader, self._families.known() if self._follower else None)

    def _tell_home(self, now: float) -> None:
        if self._home is None or not self._node.session.connected.is_set():
            return
        message = self._home.take(now)
        if message is not None and self._node.session.publish(message) is None:
            self._home.failed(now)

    def _take(self, message: Received, now: float) -> list[Outcome]:
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
                    return self._families.announce(topic.source, announce, now)
                case Kind.VOTE:
                    return self._take_vote(topic, message, now)
                case Kind.STATUS:
                    return self._take_status(topic, message, now)
                case Kind.BUNDLE if self._follower is not None:
                    self._follower.offer(message.payload)
        except ValueError as error:
            self._node.refusals.add(message.topic, str(error))
        return []

    def _take_vote(self, topic: Topic, message: Received, now: float) -> list[Outcome]:
        frame = FrameId.decode(message.correlation)
        family = self._families.get(votes.digest_of(message.payload))
        if family is None:
            votes.decode(message.payload, MAX_CLASSES)
            raise votes.VoteError("vote from another bundle")
        if topic.variant is None or topic.variant >= len(family.weights):
            raise votes.VoteError("no such variant")
        vote = votes.decode(message.payload, len(family.manifest.classes))
        return self._families.vote(topic.source, frame, topic.variant, vote, now)

    def _take_status(self, topic: Topic, message: Received, now: float) -> list[Outcome]:
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
                family = self._families.get(bytes.fromhex(status.digest or ""))
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
        return self._families.set_node(node, place, now)

    def _publish(self, result: Outcome) -> None:
        outcome, weights, manifest = result.closed, result.family.weights, result.family.manifest
        voted = sorted(outcome.votes)
        weight = sum(weights[v] for v in voted)
        shares: dict[int, float] = {}
        for variant, vote in outcome.votes.items():
            for index, probability in zip(vote.classes.tolist(), vote.probabilities.tolist(), strict=True):
                shares[index] = shares.get(index, 0.0) + weights[variant] * probability / weight
        classes = manifest.classes
        top = sorted(shares, key=lambda index: (-shares[index], index))[:_TOP]
        winner = outcome.winner
        label = LabelMessage(
            camera=outcome.camera,
            frame=str(outcome.announce.frame),
            label=None if winner is None else classes[winner],
            class_index=winner,
            confidence=None if winner is None else _rounded(shares[winner]),
            score=None if winner is None else _rounded(float(outcome.scores[winner])),
            top=tuple(ClassScore(label=classes[index], confidence=_rounded(shares[index])) for index in top),
            voted=tuple(voted),
            missing=tuple(v for v in range(len(weights)) if v not in outcome.votes),
            alive=outcome.alive,
            closed_by=outcome.closed_by,
            latency_ms=round((outcome.closed - outcome.opened) * 1000, 3),
            captured=outcome.announce.captured,
            valid_for_s=self._settings.valid_for,
            bundle=manifest.name,
            digest=manifest.short_digest.hex(),
            truth=outcome.announce.truth,
        )
        sent = self._node.session.publish(
            Outgoing(
                self._node.topics.label(outcome.camera),
                label.encode(),
                correlation=outcome.announce.frame.encode(),
                content_type="application/json",
                expiry_s=math.ceil(self._settings.valid_for),
            )
        )
        self._node.latencies.add(label.latency_ms)
        self._node.counts["labels" if sent else "labels_unsent"] += 1
        self._node.counts["labels_without_votes"] += winner is None

    def _tell_changes(self) -> None:
        leader = self._families.leader
        if leader.manifest.digest != self._leader.digest:
            self._leader = leader.manifest
            LOGGER.info(
                "most of the boards run '%s' (%s) now", leader.manifest.name, leader.manifest.short_digest.hex()
            )
            self._say_bundle()
        roster = leader.windows.roster
        alive = roster.alive()
        suspected = {v for v in alive if roster.is_suspected(v)}
        if (alive, suspected) == self._seen:
            return
        was_alive, was_suspected = self._seen
        self._seen = (alive, suspected)
        for variant in sorted(alive - was_alive):
            LOGGER.info("variant %d is online", variant)
        elsewhere = self._families.elsewhere()
        for variant in sorted(was_alive - alive):
            if variant in elsewhere:
                LOGGER.info("variant %d runs '%s' now", variant, elsewhere[variant].name)
            else:
                LOGGER.warning("variant %d is gone", variant)
        for variant in sorted(suspected - was_suspected):
            LOGGER.warning("variant %d is silent: no longer waited for", variant)
        for variant in sorted((was_suspected - suspected) & alive & was_alive):
            LOGGER.info("variant %d votes again", variant)


def _rounded(share: float) -> float:
    return round(min(max(share, 0.0), 1.0), 4)


def run(settings: FusionSettings) -> None:
    """Run the fusion node until it is told to stop.

    Raises:
        UserError: the settings, the bundle or the broker are not usable.
    """
    FusionNode(settings).run()
