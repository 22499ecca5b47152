"""The variant node: the newest frame in, a vote out."""

from __future__ import annotations

import time

import cv2

from vp_mqtt import topics
from vp_mqtt.family import open_bundle
from vp_mqtt.frames import FrameId
from vp_mqtt.inbox import Inbox
from vp_mqtt.inference import pictures, runtimes
from vp_mqtt.inference.runtimes import Predictor
from vp_mqtt.logs import LOGGER
from vp_mqtt.nodes.runtime import Node
from vp_mqtt.packets import Outgoing, Received
from vp_mqtt.settings import VariantSettings
from vp_mqtt.topics import ANY, TopicError, Topics
from vp_mqtt.topk import encode, select

_PACKET_OVERHEAD_BYTES = 1024


class VariantNode:
    """Runs one variant of a family on the frames of all cameras of a site."""

    def __init__(self, settings: VariantSettings) -> None:
        """Load the model, without connecting.

        Raises:
            UserError: bundle, variant or k are not usable.
        """
        bundle = open_bundle(settings.bundle)
        self._settings = settings
        self._manifest = bundle.manifest
        self._entry = bundle.variant(settings.variant)
        self._k = settings.k or bundle.manifest.k
        classes = len(bundle.manifest.classes)
        if settings.k is not None:
            bundle.manifest.check_k(settings.k, "--k")
        # OpenCV's own threads would compete with the model's for a decode of a millisecond.
        cv2.setNumThreads(1)
        self._predict = self._load(bundle.model_bytes(settings.variant), classes)
        self._inbox: Inbox[Received] = Inbox(per_source=1)
        self._node = Node(
            settings,
            parts=(str(settings.variant),),
            variant=settings.variant,
            bundle=bundle,
            subscriptions=[(Topics(settings.site).frame(ANY), 0)],
            on_message=self._receive,
            on_stop=self._inbox.close,
            max_packet_bytes=settings.max_frame_bytes + _PACKET_OVERHEAD_BYTES,
        )

    def _load(self, model: bytes, classes: int) -> Predictor:
        resolution, threads = self._entry.resolution, self._settings.threads
        if self._settings.runtime == runtimes.AUTO:
            return runtimes.load_fastest(model, resolution=resolution, classes=classes, threads=threads)[1]
        return runtimes.load(self._settings.runtime, model, resolution=resolution, classes=classes, threads=threads)

    def run(self) -> None:
        """Vote until told to stop.

        Raises:
            UserError: the broker will not have us.
        """
        LOGGER.info(
            "variant %d of '%s': %d x %d pixels, %d classes",
            self._entry.index,
            self._manifest.name,
            self._entry.resolution,
            self._entry.resolution,
            len(self._manifest.classes),
        )
        self._node.run(self._work, lambda: {"frames_dropped": self._inbox.dropped})

    def _receive(self, message: Received) -> None:
        """Keep the newest frame of each camera (in the network's thread)."""
        if len(message.payload) > self._settings.max_frame_bytes:
            self._node.refusals.add(message.topic, "frame too large")
            return
        self._inbox.put(message.topic, message)

    def _work(self) -> None:
        while not self._node.stopping.is_set():
            message = self._inbox.get()
            if message is not None:
                self._answer(message)

    def _answer(self, message: Received) -> None:
        try:
            camera = topics.parse(message.topic).source
            frame = FrameId.decode(message.correlation)
            picture = pictures.decode(message.payload)
            batch = pictures.prepare(picture, self._entry.resolution, self._manifest.preprocessing)
            probabilities = self._predict(batch)
            compute_ms = (time.monotonic() - message.at) * 1000
            vote = select(probabilities, self._k, self._manifest.short_digest, compute_ms)
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
        vote_topic = self._node.topics.vote(camera, self._entry.index)
        sent = self._node.session.publish(Outgoing(vote_topic, encode(vote), correlation=frame.encode()))
        self._node.counts["votes" if sent else "votes_unsent"] += 1


def run(settings: VariantSettings) -> None:
    """Run a variant node until it is told to stop.

    Raises:
        UserError: the settings, the bundle or the broker are not usable.
    """
    VariantNode(settings).run()
