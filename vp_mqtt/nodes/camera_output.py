"""What a camera node publishes of its source's pictures: as one camera, or as one for each region."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.live_settings import live_camera_settings
from vp_mqtt.inference.pictures import PictureError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.flood_guard import Limit
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.base import SETTINGS_LIMIT, Node
from vp_mqtt.nodes.board_needs import BoardNeeds, FrameSizes
from vp_mqtt.nodes.camera_stream import CameraStream, streams_of
from vp_mqtt.nodes.frame_publisher import Moment
from vp_mqtt.nodes.needs_watch import NeedsWatch
from vp_mqtt.nodes.published_frames import PublishedFramesReport
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.nodes.status import NodeStatus
from vp_mqtt.nodes.whole_picture import WholePicture
from vp_mqtt.protocol.messages import MessageError
from vp_mqtt.protocol.site_settings import SNAPSHOT
from vp_mqtt.protocol.topics import Topics

_STILL_EVERY_S = 1.0
# Labels come as often as frames, of which the fusion node takes 300/s, and twice while a second fusion node runs.
_LABEL_LIMIT = Limit(burst=300, per_second=700.0)
_CAPTURE_LIMIT = Limit(burst=50, per_second=10.0)


@dataclass(frozen=True)
class _Routes:
    """What is published, and which topics concern it.

    Attributes:
        streams: one for each camera.
        by_label_topic: the stream whose labels come on a topic.
        asked_by_topic: the streams of which a frame is asked for on a topic.
        grey_side: what `Captured.grey` is to be asked for; None without a motion gate.
    """

    streams: Sequence[CameraStream]
    by_label_topic: Mapping[str, CameraStream]
    asked_by_topic: Mapping[str, Sequence[CameraStream]]
    grey_side: int | None

    @classmethod
    def of(cls, settings: CameraSettings, streams: Sequence[CameraStream], topics: Topics) -> Self:
        sides = [stream.grey_side for stream in streams if stream.grey_side is not None]
        return cls(
            streams,
            {topics.label(stream.publisher.camera): stream for stream in streams},
            # Of the camera itself, too, where it has regions: then all of them are meant.
            {
                topics.capture(name): [s for s in streams if name in {settings.camera, s.publisher.camera}]
                for name in (settings.camera, *settings.cameras())
            },
            max(sides, default=None),
        )


class CameraOutput:
    """Publishes frames, hears of their labels, of frames that are asked for, and of other settings."""

    def __init__(self, settings: CameraSettings, node: Node, on_asked: Callable[[], None]) -> None:
        """Subscribe to what concerns the node's cameras.

        Args:
            settings: of the camera node.
            node: which publishes.
            on_asked: called when a frame is asked for, in the network's thread.
        """
        self._node = node
        self._camera = settings.camera
        self._on_asked = on_asked
        self._live = live_camera_settings(settings)
        self._settings_topic = node.topics.camera_settings(settings.camera)
        self._whole = WholePicture(settings, node)
        self._still: tuple[str, ...] | None = None
        self._still_said_at = 0.0
        needs = BoardNeeds()
        self._needs = NeedsWatch(node.topics, needs)
        self._sizes = FrameSizes(settings.encode, settings.frame_side, needs)
        self._report = PublishedFramesReport(
            lambda frames: node.change_status(lambda status: status.set_published(frames))
        )
        self._routes = _Routes.of(settings, streams_of(settings, node, self._sizes), node.topics)
        self._follow(set(), set(), self._routes)
        node.subscribe([self._settings_topic], qos=1, limit=SETTINGS_LIMIT)
        node.subscribe([self._needs.filter], qos=1, limit=self._needs.limit)

    @property
    def needed_side(self) -> int | None:
        """How long the shorter side of the source's pictures has to be, in pixels; None for as long as it is."""
        # Regions are cut out at full resolution.
        return None if self._live.now.region else self._sizes.side

    def receive(self, message: Received) -> None:
        """Take a label, a request for a frame now, other settings, or a status (in the network's thread)."""
        if (stream := self._routes.by_label_topic.get(message.topic)) is not None:
            stream.publisher.on_label(message)
        elif message.topic == self._settings_topic:
            self._take_settings(message)
        elif self._needs.receive(message, self._node):
            return
        elif message.retained:
            self._node.refusals.add(message.topic, "retained capture")
        else:
            self._ask(message)

    def take(self, captured: Captured) -> None:
        """Publish what is to be published of a picture."""
        moment = Moment(time.monotonic(), time.time())
        counts = self._node.counts
        counts["captured"] += 1
        # Other settings may come meanwhile.
        routes = self._routes
        try:
            grey = None if routes.grey_side is None else captured.grey(routes.grey_side)
            self._whole.look(captured, moment.monotonic)
        except PictureError as error:
            self._node.refusals.add("source", str(error))
            return
        for stream in routes.streams:
            counts["still"] += stream.take(captured, grey, moment)
        self._say_still(routes, moment.monotonic)
        self._report.look([stream.publisher for stream in routes.streams], moment.monotonic)

    def most_published(self) -> int:
        """Return how many frames have been published of the camera with most of them."""
        return max(stream.publisher.published for stream in self._routes.streams)

    def wait(self, timeout_s: float) -> None:
        """Wait until all frames have arrived, until the node is to stop, or for so many seconds for each camera."""
        for stream in self._routes.streams:
            stream.publisher.wait(timeout_s)

    def _ask(self, message: Received) -> None:
        streams = self._routes.asked_by_topic.get(message.topic, ())
        is_for_whole = message.payload == SNAPSHOT and message.topic == self._node.topics.capture(self._camera)
        # Whatever else the payload says.
        requests = [self._whole.requests] if is_for_whole else [stream.requests for stream in streams]
        accepted = [one.add(message.at) for one in requests]
        if any(accepted):
            self._node.counts["captures"] += 1
            self._on_asked()
        if not all(accepted):
            self._node.refusals.add(message.topic, "too many captures")

    def _take_settings(self, message: Received) -> None:
        try:
            is_changed = self._live.take(message.payload)
        except MessageError as error:
            self._node.refusals.add(message.topic, str(error))
            is_changed = False
        if not is_changed:
            self._say_settings()
            return
        old, settings = self._routes, self._live.now
        LOGGER.info("other settings: %s", self._live.in_force.model_dump_json(exclude_none=True))
        publishers = [stream.publisher for stream in old.streams]
        routes = _Routes.of(settings, streams_of(settings, self._node, self._sizes, publishers), self._node.topics)
        self._follow(set(old.by_label_topic), set(old.asked_by_topic), routes)
        self._routes = routes
        self._on_asked()

    def _follow(self, labels: set[str], captures: set[str], routes: _Routes) -> None:
        """Subscribe to what concerns other cameras than before, and name them in the status.

        Args:
            labels: topics of labels that are subscribed to.
            captures: topics of requests that are subscribed to.
            routes: what is to be followed from now on.
        """
        for topic in (labels - routes.by_label_topic.keys()) | (captures - routes.asked_by_topic.keys()):
            self._node.gates.remove(topic)
            self._node.session.unsubscribe(topic)
        self._node.subscribe(sorted(routes.by_label_topic.keys() - labels), limit=_LABEL_LIMIT)
        new = sorted(routes.asked_by_topic.keys() - captures)
        self._node.subscribe(new, qos=1, retained=False, limit=_CAPTURE_LIMIT)
        self._say_settings()

    def _say_settings(self) -> None:
        settings, in_force = self._live.now, self._live.in_force
        regions = settings.cameras() if settings.region else None
        self._still = (self._still or ()) if settings.motion_gate else None
        still = None if self._still is None else tuple(name for name in self._still if name in settings.cameras())
        self._still = still

        def change(status: NodeStatus) -> None:
            status.set_regions(regions)
            status.set_still(still)
            status.set_settings(in_force)

        self._node.change_status(change)

    def _say_still(self, routes: _Routes, now: float) -> None:
        """Name in the status where nothing moves, when that changes, but not too often."""
        if self._still is None or now - self._still_said_at < _STILL_EVERY_S:
            return
        still = tuple(stream.publisher.camera for stream in routes.streams if stream.is_still(now))
        if still != self._still:
            self._still, self._still_said_at = still, now
            self._node.change_status(lambda status: status.set_still(still))
