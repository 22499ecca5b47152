"""The camera node: pictures in, frames and announces out, no more in flight than the link carries."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace

import cv2

from vp_mqtt.config.settings import CameraSettings
from vp_mqtt.inference.pictures import PictureError
from vp_mqtt.logs import LOGGER
from vp_mqtt.masking import hide_in_address
from vp_mqtt.mqtt.message import Outgoing, Received
from vp_mqtt.nodes.base import Node
from vp_mqtt.nodes.frame_encoder import EncodedFrame, FrameEncoder
from vp_mqtt.nodes.in_flight import InFlight
from vp_mqtt.nodes.other_camera import OtherCamera
from vp_mqtt.nodes.pace import paced
from vp_mqtt.nodes.response_times import ResponseTimes
from vp_mqtt.nodes.sources import Captured, Source, open_source
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES, AnnounceMessage
from vp_mqtt.protocol.topics import Topics

_FRAME_EXPIRY_S = 2
_LAST_FRAMES_S = 60.0  # on a slow link; a signal ends the wait
_LENGTH_BYTES = 3  # by which a packet's remaining length may grow over that of an empty packet


class CameraNode:
    """Publishes the frames of one source."""

    def __init__(self, settings: CameraSettings) -> None:
        """Prepare, without connecting."""
        self._settings = settings
        self._source: Source | None = None
        self._encoder = FrameEncoder(
            size=settings.size, quality=settings.quality, passes_through=not settings.reencodes
        )
        self._run = secrets.randbits(32)
        self._other_camera = OtherCamera(self._run)
        self._is_shared = False
        self._sequence = 0
        self._in_flight = InFlight(settings.in_flight)
        self._response_times = ResponseTimes()
        self._has_warned = False
        self._node = Node(
            site=settings.site,
            name=settings.node_name(settings.camera),
            role=settings.role,
            camera=settings.camera,
            stats_every_s=settings.stats_every,
            subscriptions=[(Topics(settings.site).label(settings.camera), 0)],
            on_message=self._on_label,
            on_stop=self._close_source,
            is_stuck=self._is_stuck,
            max_packet_bytes=MAX_MESSAGE_BYTES,
        )
        self._envelope_bytes = self._frame_message(FrameId(self._run, 0)).packet_bytes() + _LENGTH_BYTES

    def start(self) -> None:
        """Open the source, and connect.

        Raises:
            UserError: the source is not usable, or the password file, a certificate or a key.
        """
        cv2.setNumThreads(1)
        settings = self._settings
        source = settings.read_source()
        self._source = open_source(
            source,
            fps=settings.fps,
            size=settings.size,
            on_refused=lambda reason: self._node.refusals.add("source", reason),
            on_problem=self._note_problem,
        )
        LOGGER.info("camera '%s': %s, %g frames/s", settings.camera, hide_in_address(source), settings.fps)
        self._node.start(settings.broker_options())

    def run(self) -> None:
        """Publish until the source ends or the node is stopped.

        Raises:
            UserError: the source can no longer be read, or the session ended with a permanent failure.
        """
        self._node.run(self._work)

    def stop(self) -> None:
        """End `run` soon; may be called from any thread."""
        self._node.stop()

    def _close_source(self) -> None:
        """Wake whoever waits for a picture of a camera that has none."""
        if self._source is not None:
            self._source.close()

    def _is_stuck(self, patience: float) -> bool:
        return self._source is not None and self._source.is_stuck(patience)

    def _note_problem(self, problem: str | None) -> None:
        """Tell the site that the source has no pictures, or has some again (in the source's thread)."""
        self._node.set_problem("source", None if problem is None else f"no pictures: {problem}")

    def _note_other_camera(self, now: float) -> None:
        """Tell the site when another camera publishes under our name, or has ceased to."""
        is_shared = self._other_camera.is_there(now)
        if is_shared == self._is_shared:
            return
        self._is_shared = is_shared
        name = self._settings.camera
        problem = f"another camera publishes as '{name}', and labels get mixed up: give each its own --camera"
        self._node.set_problem("name", problem if is_shared else None)
        if is_shared:
            LOGGER.warning("%s", problem)
        else:
            LOGGER.info("no other camera publishes as '%s' any more", name)

    def _on_label(self, message: Received) -> None:
        """Measure the response time, from capture to label (in the network's thread)."""
        self._other_camera.note(message.correlation, message.at)
        seconds = self._response_times.finish(message.correlation, message.at)
        if seconds is not None:
            self._node.counts["labels"] += 1
            self._node.latencies.add(seconds * 1000)

    def _work(self) -> None:
        source = self._source
        if source is None:
            return
        try:
            self._node.session.wait_until_connected()
            for captured in paced(self._repeated(source), self._settings.fps, self._node.stopping.wait):
                with self._node.work.item():
                    self._publish(captured)
                if self._settings.frames and self._sequence >= self._settings.frames:
                    break
        finally:
            source.close()
        self._in_flight.wait(self._node.stopping, _LAST_FRAMES_S)

    def _repeated(self, source: Source) -> Iterator[Captured]:
        while not self._node.stopping.is_set():
            yield from source.captures()
            if not self._settings.loop and not source.is_live:
                return

    def _publish(self, captured: Captured) -> None:
        captured_at, wall_clock = time.monotonic(), time.time()
        self._note_other_camera(captured_at)
        counts = self._node.counts
        counts["captured"] += 1
        if not self._node.is_connected:
            counts["dropped_offline"] += 1
            return
        if self._in_flight.is_full(captured_at):
            counts["dropped_slow_link"] += 1
            return
        frame = FrameId(self._run, self._sequence)
        encoded = self._encode(captured)
        if encoded is None:
            return
        counts["unlabelled"] += self._response_times.start(frame.encode(), captured_at)
        if self._node.publish(replace(self._frame_message(frame), payload=encoded.jpeg)) is None:
            self._count_unsent(frame)
            return
        # The announce follows the frame on the same connection: once it is acknowledged, the broker has the frame too.
        sent = self._node.publish(self._announce(Announce(frame, round(wall_clock, 6), captured.truth)))
        self._sequence += 1
        if sent is None:
            self._count_unsent(frame)
            return
        counts["frames"] += 1
        counts["passed_through"] += encoded.is_passed_through
        self._in_flight.add(sent, len(encoded.jpeg), captured_at)

    def _count_unsent(self, frame: FrameId) -> None:
        self._response_times.cancel(frame.encode())
        self._node.counts["unsent"] += 1

    def _encode(self, captured: Captured) -> EncodedFrame | None:
        """Return the frame as JPEG that the broker accepts; None, and counted, if it cannot be made so small."""
        limit = self._node.session.max_publish_bytes - self._envelope_bytes
        try:
            encoded = self._encoder.encode(captured, limit)
        except PictureError as error:
            self._node.refusals.add("source", str(error))
            return None
        if encoded is None or encoded.is_shrunk:
            self._node.counts["shrunk"] += 1
            if not self._has_warned:
                self._has_warned = True
                LOGGER.warning("frames are over the broker's packet limit: sent smaller (see --size and --quality)")
        if encoded is None:
            self._node.refusals.add("source", "frame over the broker's packet limit")
        return encoded

    def _frame_message(self, frame: FrameId) -> Outgoing:
        """Return a frame's message without its JPEG; it has the same size for every frame."""
        return Outgoing(
            self._node.topics.frame(self._settings.camera),
            b"",
            correlation=frame.encode(),
            content_type="image/jpeg",
            expiry_s=_FRAME_EXPIRY_S,
        )

    def _announce(self, announce: Announce) -> Outgoing:
        return Outgoing(
            self._node.topics.announce(self._settings.camera),
            AnnounceMessage.of(announce).encode(),
            qos=1,
            correlation=announce.frame.encode(),
            content_type="application/json",
            expiry_s=_FRAME_EXPIRY_S,
        )


def run(settings: CameraSettings) -> None:
    """Run a camera node until its source ends or it is stopped.

    Raises:
        UserError: the settings, the source or the broker are not usable.
    """
    node = CameraNode(settings)
    node.start()
    node.run()
