"""The stage node of model parallelism: a frame or a feature map in, a feature map or the vote out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import cv2

from benchmarks.comparators import feature_maps
from benchmarks.comparators.feature_maps import Precision
from benchmarks.comparators.pipeline import StageEntry, open_pipeline
from benchmarks.comparators.settings import StageSettings
from benchmarks.comparators.topics import camera_of, feature_map_topic
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.inference import pictures
from vp_mqtt.inference.onnx import OnnxModel
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Outgoing, Received, Subscription
from vp_mqtt.nodes.base import Node
from vp_mqtt.protocol import votes
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import ANY, Topics

_PACKET_OVERHEAD_BYTES = 1024
_WHOLE = 0
"""Index of the bundle's only variant, the complete network: the last stage votes as this variant."""


@dataclass(frozen=True)
class LoadedStage:
    """A stage's model, ready to run.

    Attributes:
        manifest: of the network's bundle.
        entry: the stage's, in the pipeline's manifest.
        model: from the stage's input to its output, both with a batch of one in front.
    """

    manifest: Manifest
    entry: StageEntry
    model: OnnxModel


def load_stage(folder: Path, index: int, *, threads: int) -> LoadedStage:
    """Load a stage of the pipeline in a folder.

    Args:
        folder: the pipeline's.
        index: of the stage, from 0.
        threads: of the runtime, at least 1.

    Raises:
        UserError: pipeline or stage are not usable.
    """
    pipeline = open_pipeline(folder)
    manifest, entry = pipeline.bundle.manifest, pipeline.stage(index)
    model = OnnxModel(
        pipeline.model_bytes(index),
        input_shape=(1, *entry.input),
        output_shape=(1, *(entry.output or (len(manifest.classes),))),
        threads=threads,
    )
    return LoadedStage(manifest, entry, model)


class StageNode:
    """Runs one stage of a network on the frames of all cameras of a site."""

    def __init__(self, settings: StageSettings, stage: LoadedStage) -> None:
        """Prepare, without connecting.

        Args:
            settings: the node's.
            stage: the stage that the settings name.
        """
        self._settings = settings
        self._manifest, self._entry, self._model = stage.manifest, stage.entry, stage.model
        self._precision = Precision[settings.precision.upper()]
        is_last = self._entry.output is None
        self._inbox: Inbox[Received] = Inbox(per_source=1)
        self._topics = Topics(settings.site)
        source = feature_map_topic(settings.site, ANY, settings.stage) if settings.stage else self._topics.frame(ANY)
        self._node = Node(
            site=settings.site,
            name=settings.node_name(str(settings.stage)),
            role=settings.role,
            variant=_WHOLE if is_last else None,
            stats_every_s=settings.stats_every,
            subscriptions=[Subscription(source)],
            on_message=self._receive,
            on_stop=self._inbox.close,
            more_counts=lambda: {"frames_dropped": self._inbox.dropped},
            max_packet_bytes=settings.max_frame_bytes + _PACKET_OVERHEAD_BYTES,
        )

    def start(self) -> None:
        """Connect in the background.

        Raises:
            UserError: the password file, a certificate or a key is not usable.
        """
        cv2.setNumThreads(1)
        LOGGER.info("stage %d of '%s': blocks %d to %d", self._entry.index, self._manifest.name, *self._entry.blocks)
        self._node.set_bundle(self._manifest, follows=False)
        self._node.start(self._settings.broker_options())

    def run(self) -> None:
        """Work until stopped.

        Raises:
            UserError: the session ended with a permanent failure.
        """
        self._node.run(self._work)

    def _receive(self, message: Received) -> None:
        if len(message.payload) > self._settings.max_frame_bytes:
            self._node.refusals.add(message.topic, "message too large")
            return
        self._inbox.put(message.topic, message)

    def _work(self) -> None:
        while not self._node.stopping.is_set():
            message = self._inbox.get()
            if message is not None:
                self._answer(message)

    def _answer(self, message: Received) -> None:
        digest = self._manifest.short_digest
        try:
            camera = camera_of(message.topic)
            frame = FrameId.decode(message.correlation)
            if self._entry.index:
                batch = feature_maps.decode(message.payload, self._entry.input, digest)
            else:
                side, preprocessing = self._entry.input[1], self._manifest.preprocessing
                picture = pictures.decode(message.payload, preprocessing.side(side), version=preprocessing.version)
                batch = pictures.prepare(picture, side, preprocessing)
            result = self._model(batch)
        except (ValueError, cv2.error) as error:
            reason = "picture cannot be resized" if isinstance(error, cv2.error) else str(error)
            self._node.refusals.add(message.topic, reason)
            return
        compute_ms = (time.monotonic() - message.at) * 1000
        if self._entry.output is None:
            topic = self._topics.vote(camera, _WHOLE)
            payload = votes.encode(votes.select(result[0], self._manifest.k, digest, compute_ms))
        else:
            topic = feature_map_topic(self._settings.site, camera, self._entry.index + 1)
            payload = feature_maps.encode(result, self._precision, digest)
        self._node.counts["frames"] += 1
        self._node.counts["bytes_sent"] += len(payload)
        self._node.latencies.add(compute_ms)
        if self._node.publish(Outgoing(topic, payload, correlation=frame.encode())) is None:
            self._node.counts["unsent"] += 1


def run(settings: StageSettings) -> None:
    """Run a stage node until it is stopped.

    Raises:
        UserError: the settings, the pipeline or the broker are not usable.
    """
    stage = load_stage(Path(settings.bundle), settings.stage, threads=settings.threads)
    node = StageNode(settings, stage)
    node.start()
    node.run()
