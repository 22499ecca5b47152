"""The variant node: the newest frame in, a vote out."""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2

from vp_mqtt.bundle import follow
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Manifest, VariantEntry
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.inference import pictures, runtimes
from vp_mqtt.inference.runtimes import Predictor
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.bundles import find_initial_bundle
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import MessageError
from vp_mqtt.protocol.topics import ANY, TopicError, Topics
from vp_mqtt.protocol.votes import encode, select

_PACKET_OVERHEAD_BYTES = 1024


@dataclass(frozen=True)
class _Loaded:
    """A bundle, and this node's variant of it, ready to run."""

    manifest: Manifest
    entry: VariantEntry
    k: int
    predict: Predictor


class VariantNode:
    """Runs one variant of a family on the frames of all cameras of a site."""

    def __init__(self, settings: VariantSettings) -> None:
        """Load the model; if it is to come from the broker, wait for it.

        Raises:
            UserError: bundle, variant or k are not usable.
        """
        self._settings = settings
        # OpenCV's own threads would compete with the model's for a decode of a millisecond.
        cv2.setNumThreads(1)
        start = find_initial_bundle(settings, settings.node_name(str(settings.variant)), settings.variant)
        self._follower = start.follower
        self._loaded = self._load(start.bundle)
        self._inbox: Inbox[Received] = Inbox(per_source=1)
        site = Topics(settings.site)
        self._bundle_topic = site.bundle()
        following = [(self._bundle_topic, 1)] if self._follower else []
        self._node = Node(
            settings,
            parts=(str(settings.variant),),
            variant=settings.variant,
            bundle=start.bundle,
            subscriptions=[(site.frame(ANY), 0), *following],
            on_message=self._receive,
            on_stop=self._inbox.close,
            max_packet_bytes=settings.max_frame_bytes + _PACKET_OVERHEAD_BYTES,
        )

    def _load(self, bundle: Bundle) -> _Loaded:
        settings = self._settings
        entry = bundle.variant(settings.variant)
        if settings.k is not None:
            bundle.manifest.check_k(settings.k, "--k")
        predict = self._predictor(entry, bundle.model_bytes(settings.variant), len(bundle.manifest.classes))
        return _Loaded(bundle.manifest, entry, settings.k or bundle.manifest.k, predict)

    def _predictor(self, entry: VariantEntry, model: bytes, classes: int) -> Predictor:
        resolution, threads = entry.resolution, self._settings.threads
        if self._settings.runtime == runtimes.AUTO:
            return runtimes.load_fastest(model, resolution=resolution, classes=classes, threads=threads)[1]
        return runtimes.load(self._settings.runtime, model, resolution=resolution, classes=classes, threads=threads)

    def _switch(self, bundle: Bundle) -> None:
        """Run another bundle from the next frame on (in the follower's thread).

        Raises:
            UserError: it has no such variant, or the model cannot be loaded: the one before goes on.
        """
        if bundle.manifest.digest == self._loaded.manifest.digest:
            return
        self._loaded = self._load(bundle)
        self._node.set_bundle(bundle.manifest)
        self._tell()

    def run(self) -> None:
        """Vote until told to stop.

        Raises:
            UserError: the broker will not have us.
        """
        self._tell()
        if self._follower is not None:
            self._follower.follow(self._switch, self._node.stopping)
        self._node.run(self._work, lambda: {"frames_dropped": self._inbox.dropped})

    def _tell(self) -> None:
        loaded = self._loaded
        LOGGER.info(
            "variant %d of '%s': %d x %d pixels, %d classes",
            loaded.entry.index,
            loaded.manifest.name,
            loaded.entry.resolution,
            loaded.entry.resolution,
            len(loaded.manifest.classes),
        )

    def _receive(self, message: Received) -> None:
        """Keep the newest frame of each camera (in the network's thread)."""
        if message.topic == self._bundle_topic and self._follower is not None:
            try:
                self._follower.offer(message.payload)
            except MessageError as error:
                self._node.refusals.add(message.topic, str(error))
            return
        if len(message.payload) > self._settings.max_frame_bytes:
            self._node.refusals.add(message.topic, "frame too large")
            return
        self._inbox.put(message.topic, message)

    def _work(self) -> None:
        while not self._node.stopping.is_set():
            message = self._inbox.get()
            if message is not None:
                with self._node.work.piece():
                    self._answer(message)

    def _answer(self, message: Received) -> None:
        loaded = self._loaded
        try:
            camera = topics.parse(message.topic).source
            frame = FrameId.decode(message.correlation)
            resolution, preprocessing = loaded.entry.resolution, loaded.manifest.preprocessing
            picture = pictures.decode(message.payload, resolution + preprocessing.margin)
            batch = pictures.prepare(picture, resolution, preprocessing)
            probabilities = loaded.predict(batch)
            compute_ms = (time.monotonic() - message.at) * 1000
            vote = select(probabilities, loaded.k, loaded.manifest.short_digest, compute_ms)
        except (TopicError, ValueError, cv2.error) as error:
            reason = "picture cannot be resized" if isinstance(error, cv2.error) else str(error)
            self._node.refusals.add(message.topic, reason)
            return
        except Exception as error:  # noqa: BLE001 (whatever a picture makes the runtime raise, the next one is due)
            LOGGER.debug("inference failed", exc_info=error)
            self._node.refusals.add(message.topic, "inference failed")
            return
        self._node.counts["frames"] += 1
        self._node.latencies.add(compute_ms)
        vote_topic = self._node.topics.vote(camera, loaded.entry.index)
        sent = self._node.session.publish(Outgoing(vote_topic, encode(vote), correlation=frame.encode()))
        self._node.counts["votes" if sent else "votes_unsent"] += 1


def run(settings: VariantSettings) -> None:
    """Run a variant node until it is told to stop.

    Raises:
        UserError: the settings, the bundle or the broker are not usable.
    """
    try:
        node = VariantNode(settings)
    except follow.Interrupted:
        return
    node.run()
