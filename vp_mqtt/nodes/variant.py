"""The variant node: the newest frame in, a vote out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial

import cv2

from vp_mqtt.bundle import follow
from vp_mqtt.bundle.fetch import POINTER_LIMIT, Pause
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.nodes import signals
from vp_mqtt.nodes.announced_need import announced_need
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.bundles import find_initial_bundle
from vp_mqtt.nodes.camera_rests import CameraRests
from vp_mqtt.nodes.claiming import Claiming, check_account
from vp_mqtt.nodes.fit_watch import LOOK_FOR_GONE_EVERY_S, FitWatch
from vp_mqtt.nodes.loaded_variant import LoadedVariant, frame_side, load_variant
from vp_mqtt.nodes.model_at_work import LIMIT_S, ModelAtWork
from vp_mqtt.nodes.replica_gate import new_gate
from vp_mqtt.nodes.status import NodeStatus
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import MessageError
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.protocol.votes import encode

_PACKET_OVERHEAD_BYTES = 1024
_WAITING_BYTES = 64_000_000  # of the frames of all cameras together, unless a single one may be larger


class VariantNode:
    """Runs one variant of a family on the frames of all cameras of a site."""

    def __init__(self, settings: VariantSettings) -> None:
        """Prepare, without connecting."""
        self._settings = settings
        self._model = ModelAtWork()
        self._follower: follow.Follower | None = None
        self._claiming: Claiming | None = None
        # None while a node that chooses its variant has none.
        self._variant = None if settings.variant == "auto" else settings.variant
        self._rests = CameraRests()
        self._inbox: Inbox[Received] = Inbox(
            per_source=1,
            max_bytes=max(_WAITING_BYTES, settings.max_frame_bytes),
            size_of=lambda message: len(message.payload),
            rests_until=self._rests.rests_until,
        )
        self._bundle_topic = Topics(settings.site).bundle()
        self._node = Node(
            site=settings.site,
            name=settings.node_name(str(settings.variant)),
            role=settings.role,
            variant=self._variant,
            stats_every_s=settings.stats_every,
            subscriptions=(),
            on_message=self._receive,
            on_stop=self._inbox.close,
            more_counts=lambda: {"frames_dropped": self._inbox.dropped},
            max_packet_bytes=settings.max_frame_bytes + _PACKET_OVERHEAD_BYTES,
        )
        self._fit = FitWatch(self._node.set_problem)
        self._gate = new_gate(self._node, settings, self._inbox.waiting)

    def start(self) -> None:
        """Load the model, and connect; waits for the broker if the bundle is to come from there.

        Raises:
            UserError: bundle, variant or k are not usable, or the broker refuses us.
            Interrupted: an ending signal came while it was waiting.
        """
        # OpenCV's own threads would compete with the model's for a decode of a millisecond.
        cv2.setNumThreads(1)
        if self._variant is not None:
            self._begin(self._variant, signals.wait, self._node.stopping)
            self._node.start(self._settings.broker_options(), self._settings.metrics_address)
            return
        check_account(self._settings)
        self._claiming = Claiming(self._node, self._settings)
        self._node.start(self._settings.broker_options(), self._settings.metrics_address)
        self._claiming.start(self._begin, self._rest)

    def run(self) -> None:
        """Vote until stopped.

        Raises:
            UserError: the session ended with a permanent failure.
        """
        watched = (self._end, self._node.stopping)
        threading.Thread(target=self._model.watch, args=watched, name="model", daemon=True).start()
        self._node.run(self._work)

    def stop(self) -> None:
        """End `run` soon; may be called from any thread."""
        self._node.stop()

    def _begin(self, variant: int, pause: Pause, ended: threading.Event) -> None:
        """Load a variant of the site's bundle, and follow that until `ended` is set.

        Raises:
            UserError: bundle, variant or k are not usable, or the broker refuses us.
            Interrupted: the node has been told to stop, as `pause` returned.
        """

        def load(bundle: Bundle, is_proven: bool) -> None:  # noqa: FBT001 (see `Use`)
            self._load(bundle, variant, None if is_proven else pause, ended)

        start = find_initial_bundle(self._settings, self._node.name, variant, load, pause)
        self._follower = start.follower
        self._node.set_bundle(start.bundle.manifest, follows=self._follower is not None)
        if self._follower is not None:
            self._node.subscribe([self._bundle_topic], qos=1, limit=POINTER_LIMIT)
            switch = partial(self._switch, variant, ended)
            self._follower.follow(switch, ended, partial(self._say_unless, ended, NodeStatus.set_problem, "bundle"))

    def _rest(self) -> None:
        """Vote on nothing from the next frame on."""
        self._model.clear()
        self._fit.clear()

    def _say_unless(
        self, ended: threading.Event, change: Callable[..., None], *values: object, **named: object
    ) -> None:
        """Change the status, unless the node no longer runs the variant that this is about."""
        self._node.change_status(lambda status: None if ended.is_set() else change(status, *values, **named))

    def _load(
        self, bundle: Bundle, variant: int, trial_pause: Callable[[float], bool] | None, ended: threading.Event
    ) -> None:
        with announced_need(self._node, self._model.newest, frame_side(bundle, variant)):
            loaded = load_variant(
                bundle,
                variant,
                k=self._settings.k,
                runtime=self._settings.runtime,
                threads=self._settings.threads,
                trial_pause=trial_pause,
            )
            self._model.replace(loaded, ended)
        resolution, classes = loaded.entry.resolution, len(bundle.manifest.classes)
        LOGGER.info(
            "variant %d of '%s': %d x %d pixels, %d classes",
            *(loaded.entry.index, bundle.manifest.name, resolution, resolution, classes),
        )

    def _switch(self, variant: int, ended: threading.Event, bundle: Bundle) -> None:
        """Run another bundle from the next frame on (in the follower's thread).

        Raises:
            UserError: it has no such variant, or the model cannot be loaded; the previous bundle keeps running.
            Interrupted: the node has been told to stop.
        """
        running = self._model.newest
        if running is None or bundle.manifest.digest != running.manifest.digest:
            self._load(bundle, variant, ended.wait, ended)
        # Only then does the node say that it runs the bundle, and the bundle counts as one that has run.
        self._model.await_newest(ended)
        if running is None or bundle.manifest.digest != running.manifest.digest:
            self._say_unless(ended, NodeStatus.set_bundle, bundle.manifest, follows=True)

    def _end(self, hanging: LoadedVariant) -> None:
        """End this process: the thread that is in the model cannot be ended."""
        name, digest = hanging.manifest.name, hanging.manifest.digest.hex()
        LOGGER.error("the model of '%s' (%s) takes more than %g s for a picture: ending", name, digest[:8], LIMIT_S)
        if self._follower is not None:
            self._follower.note_hang(digest)
        os._exit(1)

    def _receive(self, message: Received) -> None:
        """Keep the newest frame of each camera (in the network's thread)."""
        if message.topic == self._bundle_topic:
            try:
                for one in (self._claiming, self._follower):
                    if one is not None:
                        one.offer(message.payload)
            except MessageError as error:
                self._node.refusals.add(message.topic, str(error))
            return
        if self._claiming is not None and self._claiming.receive(message):
            return
        if not self._gate.may_pass(message.topic, message.at, len(message.payload)):
            self._node.counts["flooded"] += 1
            return
        if message.retained:
            self._node.refusals.add(message.topic, "retained frame")
            return
        if len(message.payload) > self._settings.max_frame_bytes:
            self._node.refusals.add(message.topic, "frame too large")
            return
        self._inbox.put(message.topic, message)
        self._gate.note_arrival()

    def _work(self) -> None:
        while not self._node.stopping.is_set():
            message = self._inbox.get(LOOK_FOR_GONE_EVERY_S)
            self._fit.forget_gone(time.monotonic())
            if message is not None:
                with self._node.work.item(), self._model.take() as loaded:
                    if loaded is not None:
                        started = time.monotonic()
                        has_vote = self._answer(message, loaded)
                        ended = time.monotonic()
                        self._rests.note(message.topic, ended - started, ended, has_vote=has_vote)
                        self._gate.note_work(ended - started)

    def _answer(self, message: Received, loaded: LoadedVariant) -> bool:
        """Vote on a frame, and return whether that was possible."""
        try:
            camera = topics.parse(message.topic).source
            frame = FrameId.decode(message.correlation)
            vote = loaded.vote(
                message, lambda picture: self._fit.look(camera, picture, message.payload, loaded.manifest, message.at)
            )
        except ValueError as error:
            self._node.refusals.add(message.topic, str(error))
            return False
        except cv2.error:
            self._node.refusals.add(message.topic, "picture cannot be resized")
            return False
        except Exception as error:  # noqa: BLE001 (whatever a picture makes the runtime raise, the next frame is due)
            LOGGER.debug("inference failed", exc_info=error)
            self._node.refusals.add(message.topic, "inference failed")
            return False
        self._node.counts["frames"] += 1
        self._node.latencies.add(vote.compute_ms)
        vote_topic = self._node.topics.vote(camera, loaded.entry.index)
        sent = self._node.publish(Outgoing(vote_topic, encode(vote), correlation=frame.encode()))
        self._node.counts["votes" if sent else "votes_unsent"] += 1
        return True


def run(settings: VariantSettings) -> None:
    """Run a variant node until it is stopped.

    Raises:
        UserError: the settings, the bundle or the broker are not usable.
    """
    node = VariantNode(settings)
    try:
        node.start()
    except follow.Interrupted:
        return
    node.run()
