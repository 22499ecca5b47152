"""The fusion node: votes in, one label a frame out."""

from __future__ import annotations

import math
import time

from vp_mqtt import topics, topk
from vp_mqtt.family import open_bundle
from vp_mqtt.frames import FrameId
from vp_mqtt.inbox import Inbox
from vp_mqtt.logs import LOGGER
from vp_mqtt.messages import (
    MAX_MESSAGE_BYTES,
    AnnounceMessage,
    ClassScore,
    LabelMessage,
    MessageError,
    State,
    StatusMessage,
)
from vp_mqtt.nodes.runtime import Node
from vp_mqtt.packets import Outgoing, Received
from vp_mqtt.settings import FusionSettings
from vp_mqtt.topics import ANY, Kind, Topic, Topics
from vp_mqtt.window import Closed, Windows

_TOP = 3
_WAITING_PER_SOURCE = 256
_IDLE_S = 1.0


class FusionNode:
    """Fuses the votes of a family's variants on the frames of all cameras of a site."""

    def __init__(self, settings: FusionSettings) -> None:
        """Read the bundle's manifest, without connecting.

        Raises:
            UserError: the bundle is not usable.
        """
        bundle = open_bundle(settings.bundle)
        self._settings = settings
        self._manifest = bundle.manifest
        self._weights = [variant.weight for variant in bundle.manifest.variants]
        self._windows = Windows(
            weights=self._weights,
            classes=len(bundle.manifest.classes),
            deadline=settings.deadline_ms / 1000,
            suspect_after=settings.suspect_after,
        )
        self._variant_of: dict[str, int] = {}
        self._seen: tuple[set[int], set[int]] = (set(), set())
        self._inbox: Inbox[Received] = Inbox(per_source=_WAITING_PER_SOURCE)
        site = Topics(settings.site)
        self._node = Node(
            settings,
            bundle=bundle,
            subscriptions=[(site.status(ANY), 1), (site.announce(ANY), 1), (site.vote(ANY, ANY), 0)],
            on_message=lambda message: self._inbox.put(message.topic, message),
            on_stop=self._inbox.close,
            max_packet_bytes=MAX_MESSAGE_BYTES,
        )

    def run(self) -> None:
        """Fuse until told to stop.

        Raises:
            UserError: the broker will not have us.
        """
        LOGGER.info(
            "fusing %d variants of '%s', deadline %g ms",
            len(self._weights),
            self._manifest.name,
            self._settings.deadline_ms,
        )
        self._node.run(self._work, lambda: {**self._windows.counts, "messages_dropped": self._inbox.dropped})

    def _work(self) -> None:
        while not self._node.stopping.is_set():
            due = self._windows.next_deadline()
            wait = _IDLE_S if due is None else max(0.0, due - time.monotonic())
            message = self._inbox.get(wait)
            now = time.monotonic()
            closed = self._windows.expire(now)
            if message is not None:
                closed += self._take(message, now)
            for outcome in closed:
                self._publish(outcome)
            self._tell_changes()

    def _take(self, message: Received, now: float) -> list[Closed]:
        try:
            topic = topics.parse(message.topic)
            match topic.kind:
                case Kind.ANNOUNCE:
                    announce = AnnounceMessage.decode(message.payload).announce()
                    return self._windows.announce(topic.source, announce, now)
                case Kind.VOTE:
                    return self._take_vote(topic, message, now)
                case Kind.STATUS:
                    return self._take_status(topic, message.payload, now)
        except ValueError as error:
            self._node.refusals.add(message.topic, str(error))
        return []

    def _take_vote(self, topic: Topic, message: Received, now: float) -> list[Closed]:
        variant = topic.variant
        if variant is None or variant >= len(self._weights):
            raise topk.VoteError("no such variant")
        frame = FrameId.decode(message.correlation)
        vote = topk.decode(message.payload, len(self._manifest.classes))
        if vote.digest != self._manifest.short_digest:
            raise topk.VoteError("vote from another bundle")
        return self._windows.vote(topic.source, frame, variant, vote, now)

    def _take_status(self, topic: Topic, payload: bytes, now: float) -> list[Closed]:
        node = topic.source
        if payload:
            status = StatusMessage.decode(payload)
            if status.node != node:
                raise MessageError("status of another node")
            if status.variant is None:
                return []
            online = status.state is State.ONLINE
            if online and status.digest != self._manifest.short_digest.hex():
                self._node.refusals.add(node, "variant of another bundle")
                online = False
            if online and status.variant >= len(self._weights):
                raise MessageError("no such variant")
            if online:
                self._variant_of[node] = status.variant
        else:
            # Somebody cleared the retained status: the node is gone for good.
            online = False
        if node not in self._variant_of:
            return []
        variant = self._variant_of[node] if online else self._variant_of.pop(node)
        return self._windows.set_node(node, variant, online=online, now=now)

    def _publish(self, outcome: Closed) -> None:
        voted = sorted(outcome.votes)
        weight = sum(self._weights[v] for v in voted)
        shares: dict[int, float] = {}
        for variant, vote in outcome.votes.items():
            for index, probability in zip(vote.classes.tolist(), vote.probabilities.tolist(), strict=True):
                shares[index] = shares.get(index, 0.0) + self._weights[variant] * probability / weight
        classes = self._manifest.classes
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
            missing=tuple(v for v in range(len(self._weights)) if v not in outcome.votes),
            alive=outcome.alive,
            closed_by=outcome.closed_by,
            latency_ms=round((outcome.closed - outcome.opened) * 1000, 3),
            captured=outcome.announce.captured,
            valid_for_s=self._settings.valid_for,
            bundle=self._manifest.name,
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
        roster = self._windows.roster
        alive = roster.alive()
        suspected = {v for v in alive if roster.is_suspected(v)}
        if (alive, suspected) == self._seen:
            return
        was_alive, was_suspected = self._seen
        self._seen = (alive, suspected)
        for variant in sorted(alive - was_alive):
            LOGGER.info("variant %d is online", variant)
        for variant in sorted(was_alive - alive):
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
